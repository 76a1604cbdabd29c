"""Where the time goes: by layer and by kind of work.

>>> with profile() as p:                                                    # doctest: +SKIP
...     loss(network(Tensor(x)), mask).backward()
...     adam.step()
>>> p.kinds()["convolution, weight gradient"].seconds                       # doctest: +SKIP

Every `Function` counts its forward and its backward, under the layer that called it; what counts
as one kind of work is said by `span`. A clock runs for what was begun last, so each moment is
counted once, and with the rest, "everything else", all times add up to the time between entering
the profile and leaving it. What otherwise runs beside something else waits for its turn. Where no
profile runs a span costs well below a microsecond.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any, Protocol

REST = "everything else"


class HasModules(Protocol):
    """A `minispiral.nn.Module`, of which this file, below it, knows only so much."""

    def modules(self) -> Iterator[tuple[str, Any]]: ...


@dataclass
class Spent:
    """How often something was done and the seconds it took, without what was begun within."""

    calls: int = 0
    seconds: float = 0.0

    def add(self, other: Spent) -> None:
        self.calls += other.calls
        self.seconds += other.seconds


class Profile:
    """Seconds by layer and kind of work, in one thread.

    ``spent[layer, kind]`` is what was spent so; ``layer`` is the dotted name of a module within
    the outermost one that was called, the class of that one itself, or "" outside all modules.
    """

    def __init__(self) -> None:
        self.spent: dict[tuple[str, str], Spent] = {}
        self._names: dict[HasModules, str] = {}
        self._layers = [""]  # from the outermost to the one that runs
        self._running = [self._entry("", REST)]
        self._since = time.perf_counter()

    @property
    def seconds(self) -> float:
        """All of the time, which is the sum of its parts."""
        return sum(spent.seconds for spent in self.spent.values())

    def kinds(self) -> dict[str, Spent]:
        """What was spent on each kind of work, the most expensive first, the rest last."""
        return self._sums(1)

    def by_layer(self) -> dict[str, Spent]:
        """What was spent in each layer, in the order of their first calls; "" is last."""
        sums = self._sums(0)
        names = [name for name, _ in self.spent if name]
        return {name: sums[name] for name in dict.fromkeys([*names, ""])}

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and text, for JSON."""
        return {
            "seconds": self.seconds,
            "kinds": {kind: asdict(spent) for kind, spent in self.kinds().items()},
            "layers": [
                {"layer": layer, "kind": kind, **asdict(spent)}
                for (layer, kind), spent in self.spent.items()
            ],
        }

    def _charge(self) -> None:
        """Count the time since the last call of this for what has run meanwhile."""
        now = time.perf_counter()
        self._running[-1].seconds += now - self._since
        self._since = now

    @contextmanager
    def span(self, kind: str, layer: str | None) -> Iterator[str]:
        """See `span`."""
        layer = self._layers[-1] if layer is None else layer
        entry = self._entry(layer, kind)
        self._charge()
        self._running.append(entry)
        self._layers.append(layer)
        try:
            yield layer
        finally:
            self._charge()
            self._layers.pop()
            self._running.pop()
            entry.calls += 1

    @contextmanager
    def layer(self, module: HasModules) -> Iterator[None]:
        """See `layer`."""
        if module not in self._names:
            for prefix, inner in module.modules():
                self._names[inner] = prefix[:-1] or type(module).__name__
        self._layers.append(self._names[module])
        try:
            yield
        finally:
            self._layers.pop()

    def _entry(self, layer: str, kind: str) -> Spent:
        return self.spent.setdefault((layer, kind), Spent())

    def _sums(self, key: int) -> dict[str, Spent]:
        """Sums over the layers (``key`` 1) or over the kinds (0), the most expensive first."""
        sums: dict[str, Spent] = {}
        for place, spent in self.spent.items():
            sums.setdefault(place[key], Spent()).add(spent)
        ordered = sorted(sums.items(), key=lambda item: (item[0] == REST, -item[1].seconds))
        return dict(ordered)


_profile: ContextVar[Profile | None] = ContextVar("profile", default=None)
_NOTHING: AbstractContextManager[None] = nullcontext()


@contextmanager
def profile() -> Iterator[Profile]:
    """Inside this context, time what this thread does; the `Profile` is whole after it.

    It is whole after an exception too. A profile inside another takes the time for itself.
    """
    running = Profile()
    token = _profile.set(running)
    try:
        yield running
    finally:
        running._charge()
        _profile.reset(token)


def is_running() -> bool:
    """Whether a profile runs in this thread."""
    return _profile.get() is not None


def span(kind: str, part: str = "", layer: str | None = None) -> AbstractContextManager[str | None]:
    """Count the time inside as ``kind`` or "kind, part", in ``layer`` (default: the one running).

    What is begun within, by another span, counts for that alone. The context gives the layer, or
    None where no profile runs.
    """
    running = _profile.get()
    if running is None:
        return _NOTHING
    return running.span(f"{kind}, {part}" if part else kind, layer)


def layer(module: HasModules) -> AbstractContextManager[None]:
    """Count the time inside in the layer ``module``.

    It bears its dotted name within the module that was first called around it.
    """
    running = _profile.get()
    return _NOTHING if running is None else running.layer(module)


@contextmanager
def whole(kind: str) -> Iterator[None]:
    """Count all time inside as ``kind``, whatever is begun within."""
    with span(kind, layer=""):
        token = _profile.set(None)
        try:
            yield
        finally:
            _profile.reset(token)
