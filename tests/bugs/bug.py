"""A bug is an edit of our own source; while it is planted, every caller of the function gets it."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import dedent
from types import FunctionType
from typing import Any, NamedTuple


class Edit(NamedTuple):
    """In the source of ``function``, ``old`` is replaced by ``new``."""

    function: Any
    old: str
    new: str


@dataclass(frozen=True)
class Bug:
    """A bug and what must catch it.

    ``checks`` are the names of gradient checks that must fail, and the report of the first must
    contain ``clue``. A bug that no gradient shows names a property test instead.
    """

    name: str
    what: str
    edits: tuple[Edit, ...]
    checks: tuple[str, ...] = ()
    clue: str = ""
    test: str = ""

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The bug is there inside this context.

        The function object stays and its code is replaced, so that modules which imported the
        function by name get the bug too. Raises ValueError if the source does not contain exactly
        once what an edit replaces.
        """
        changed = rewritten(self.edits)
        kept = [(function, function.__code__, function.__defaults__) for function in changed]
        try:
            for function, other in changed.items():
                function.__code__, function.__defaults__ = other.__code__, other.__defaults__
            yield
        finally:
            for function, code, defaults in kept:
                function.__code__, function.__defaults__ = code, defaults


def rewritten(edits: tuple[Edit, ...]) -> dict[FunctionType, FunctionType]:
    """What each edited function becomes."""
    sources: dict[FunctionType, str] = {}
    for function, old, new in edits:
        source = sources.get(function) or dedent(inspect.getsource(function))
        if source.count(old) != 1:
            raise ValueError(
                f"{function.__qualname__} contains {old!r} {source.count(old)} times, expected "
                f"once: the bug has to follow the code"
            )
        sources[function] = source.replace(old, new)
    changed = {}
    for function, source in sources.items():
        made: dict[str, FunctionType] = {}
        exec(compile(source, f"<{function.__qualname__}>", "exec"), function.__globals__, made)
        (changed[function],) = made.values()
    return changed
