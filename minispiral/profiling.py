"""Where the time goes: by layer and by kind of work.

>>> with profile() as p:                                                    # doctest: +SKIP
...     loss(network(Tensor(x)), mask).backward()
...     adam.step()
>>> p.kinds()["convolution, weight gradient"].seconds                       # doctest: +SKIP

The tape's hook counts the forward and the backward of every `Function`, under the layer that
called it; `span` counts other work. The clock runs for whatever was begun last, so each moment is
counted once, and with the rest, "everything else", all times add up to the time between entering
and leaving the profile. What helper threads do at the same time comes on top, as ``overlapped``. A
profile changes nothing of what is computed; where none runs a span costs well below a microsecond.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from minispiral.tensor import Function, hooked

R = TypeVar("R")

REST = "everything else"

KINDS = {
    "BatchNorm": "batch norm",
    "Conv2d": "convolution",
    "ConvNormReLU": "batch norm and ReLU",  # what is left of it beside its convolution
    "ConvTranspose2d": "convolution",
    "LossFunction": "loss",
    "PseudoLossFunction": "loss",
}
"""What a function's time counts as, by its class; other classes count under their own names."""


@dataclass
class Spent:
    """How often something was done and the seconds it took, without what was begun within.

    ``overlapped`` are the seconds that helper threads spent on it at the same time.
    """

    calls: int = 0
    seconds: float = 0.0
    overlapped: float = 0.0

    def add(self, other: Spent) -> None:
        self.calls += other.calls
        self.seconds += other.seconds
        self.overlapped += other.overlapped


class Profile:
    """Seconds by layer and kind of work, in one thread.

    ``spent[layer, kind]`` is what was spent so; ``layer`` is the dotted name of a module within
    the outermost one that was called, the class of that one itself, or "" outside all modules.
    """

    def __init__(self) -> None:
        self.spent: dict[tuple[str, str], Spent] = {}
        self._names: dict[Any, str] = {}  # of modules
        self._origins: WeakKeyDictionary[Function, str] = WeakKeyDictionary()  # layers of functions
        self._layers = [""]  # from the outermost to the one that runs
        self._running = [self._entry("", REST)]
        self._since = time.perf_counter()
        self._lock = threading.Lock()  # for what helper threads add

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

    def hook(self, subject: Any, phase: str) -> AbstractContextManager[None]:
        """What the tape enters around its functions and modules; see `minispiral.tensor.around`."""
        if phase == "call":
            return self._within(subject)
        if phase == "forward":
            self._origins[subject] = self._layers[-1]
        name = type(subject).__name__
        return self.span(f"{KINDS.get(name, name)}, {phase}", self._origins.get(subject))

    @contextmanager
    def span(self, kind: str, layer: str | None = None, calls: int = 1) -> Iterator[None]:
        """Count the time inside as ``kind``, in ``layer`` (default: the one that runs)."""
        layer = self._layers[-1] if layer is None else layer
        entry = self._entry(layer, kind)
        self._charge()
        self._running.append(entry)
        self._layers.append(layer)
        try:
            yield
        finally:
            self._charge()
            self._layers.pop()
            self._running.pop()
            entry.calls += calls

    def overlapped(self, kind: str, work: Callable[[], R]) -> Callable[[], R]:
        """``work``, adding the seconds it takes where a helper thread calls it."""
        entry = self._entry(self._layers[-1], kind)

        def timed() -> R:
            if _profile.get() is self:  # this thread, whose clock runs
                return work()
            start = time.perf_counter()
            try:
                return work()
            finally:
                with self._lock:
                    entry.overlapped += time.perf_counter() - start

        return timed

    @contextmanager
    def _within(self, module: Any) -> Iterator[None]:
        """Count what is done inside under ``module``, by its name in the outermost module."""
        if module not in self._names:
            for prefix, inner in module.modules():
                self._names[inner] = prefix[:-1] or type(module).__name__
        self._layers.append(self._names[module])
        try:
            yield
        finally:
            self._layers.pop()

    def _charge(self) -> None:
        """Count the time since the last call of this for what has run meanwhile."""
        now = time.perf_counter()
        self._running[-1].seconds += now - self._since
        self._since = now

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
def _running(p: Profile | None) -> Iterator[None]:
    """Inside this context ``p`` is the profile that runs, or none does."""
    token = _profile.set(p)
    try:
        with hooked(lambda subject, phase: _NOTHING if p is None else p.hook(subject, phase)):
            yield
    finally:
        _profile.reset(token)


@contextmanager
def profile() -> Iterator[Profile]:
    """Inside this context, time what this thread does; the `Profile` is complete after it.

    It is complete after an exception too. A profile inside another takes the time for itself.
    """
    p = Profile()
    try:
        with _running(p):
            yield p
    finally:
        p._charge()


def span(
    kind: str, part: str = "", opaque: bool = False, calls: int = 1
) -> AbstractContextManager[None]:
    """Count the time inside as ``kind`` or "kind, part", in the layer that runs.

    What another span inside begins counts for that one alone or, with ``opaque``, for this one.
    ``calls`` is 0 where work that was counted before goes on.
    """
    p = _profile.get()
    if p is None:
        return _NOTHING
    name = f"{kind}, {part}" if part else kind
    return _opaque(p, name) if opaque else p.span(name, calls=calls)


@contextmanager
def _opaque(p: Profile, kind: str) -> Iterator[None]:
    with p.span(kind, layer=""), _running(None):
        yield


def overlapped(kind: str, part: str, work: Callable[[], R]) -> Callable[[], R]:
    """``work`` for a helper thread; a profile that runs counts it as "kind, part", overlapped."""
    p = _profile.get()
    return work if p is None else p.overlapped(f"{kind}, {part}", work)
