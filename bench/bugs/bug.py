"""A bug is a line of our own source changed; planted, everybody who calls the function meets it."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import dedent
from types import FunctionType
from typing import Any, NamedTuple


class Edit(NamedTuple):
    """In the source of ``function``, ``old`` gives way to ``new``."""

    function: Any
    old: str
    new: str


@dataclass(frozen=True)
class Bug:
    """A bug and what must catch it.

    ``checks`` are the names of gradient checks that must fail, and ``clue`` is what the first of
    their reports must say. A bug that no gradient shows has the name of a test in
    ``tests/test_properties*.py`` instead.
    """

    name: str
    what: str
    edits: tuple[Edit, ...]
    checks: tuple[str, ...] = ()
    clue: str = ""
    test: str = ""

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Inside this context the bug is there.

        The code of the function itself is exchanged, so that those who imported it by name have it
        too. Raises ValueError where the source does not hold what is to be changed.
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
    """Each function that is edited, and what it becomes."""
    sources: dict[FunctionType, str] = {}
    for function, old, new in edits:
        source = sources.get(function) or dedent(inspect.getsource(function))
        if source.count(old) != 1:
            raise ValueError(
                f"{function.__qualname__} holds {old!r} {source.count(old)} times, expected once: "
                f"the bug has to follow the code"
            )
        sources[function] = source.replace(old, new)
    changed = {}
    for function, source in sources.items():
        made: dict[str, FunctionType] = {}
        exec(compile(source, f"<{function.__qualname__}>", "exec"), function.__globals__, made)
        (changed[function],) = made.values()
    return changed
