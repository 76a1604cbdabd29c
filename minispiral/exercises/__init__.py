"""The exercises of the book, and the checks of what a student answers.

A module for each chapter registers its checks. A check calls the answer on fresh random inputs
and raises `Wrong` at the first thing that is not as asked::

    @exercise("3.1", function="normalize", difficulty=1)
    def normalize(answer):
        \"\"\"Batch norm's forward pass.\"\"\"  # the title in the list
        ...
        raise Wrong("for x of shape (2, 3) the mean of channel 0 is 0.5, expected 0")
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Answer = Callable[..., Any]
Check = Callable[[Answer], None]


class Wrong(Exception):
    """An answer is wrong. The message says how, in one sentence that names the input."""


@dataclass(frozen=True)
class Exercise:
    """Exercise ``number`` of the book asks for a function named ``function``.

    ``difficulty`` is 1 for a few lines that follow the chapter, 2 for some thought, 3 for an idea
    of one's own; it is also what the exercise is worth.
    """

    number: str
    function: str
    title: str
    check: Check
    difficulty: int


registered: dict[str, Exercise] = {}  # by number; complete after `catalogue.catalogue()`


def exercise(number: str, function: str, difficulty: int) -> Callable[[Check], Check]:
    """Register the decorated check; the first line of its docstring is the exercise's title."""

    def register(check: Check) -> Check:
        title = (check.__doc__ or "").strip().partition("\n")[0]
        registered[number] = Exercise(number, function, title.rstrip("."), check, difficulty)
        return check

    return register
