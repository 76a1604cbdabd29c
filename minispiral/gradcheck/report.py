"""What a gradient check found: for a program, for JSON and for a person to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

SHOWN_ELEMENTS = 8
SINGLE = 1e-9, 1e-6  # between these lie the errors that float32 makes


@dataclass(frozen=True)
class Element:
    """One entry of one gradient, by back-propagation and by the numerical method.

    ``error`` is their distance over the size of the gradients of that input.
    """

    input: str
    index: tuple[int, ...]
    analytic: float
    numeric: float
    error: float


@dataclass(frozen=True)
class Problem:
    """A rule of the protocol that was broken, and how, in a sentence."""

    rule: str
    message: str


@dataclass
class Report:
    """The outcome of `gradcheck` for one function.

    ``input``, ``analytic``, ``numeric`` and ``error`` are of the worst of all directions or, once
    the check has failed, of the worst element, at ``index``. ``elements`` holds all elements that
    were compared then, the worst first. ``exact`` is False where a function on the tape is no
    derivative by design; ``rules`` then lists what was checked instead, as name and error.
    """

    name: str
    method: str
    exact: bool
    tolerance: float
    error: float = 0.0
    input: str = ""
    index: tuple[int, ...] | None = None
    analytic: float = 0.0
    numeric: float = 0.0
    directions: int = 0
    kinks: int = 0  # steps cut short and points moved because a kink was near
    problems: list[Problem] = field(default_factory=list)
    elements: list[Element] = field(default_factory=list)
    rules: dict[str, float] = field(default_factory=dict)
    functions: tuple[str, ...] = ()  # the operations on the tape, by class name
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, text, lists and dictionaries under the names above, for JSON."""
        values = asdict(self)
        values["passed"] = self.passed
        values["kind"] = "exact" if self.exact else "pseudo"
        values["elements"] = values["elements"][:SHOWN_ELEMENTS]
        return {key: _plain(value) for key, value in values.items()}

    def __str__(self) -> str:
        """One line where all is well; otherwise each problem and the worst elements."""
        kind = "exact" if self.exact else "pseudo"
        if self.passed:
            return (
                f"{self.name}: passed ({kind}, {self.method}, error {self.error:.1e} of at most "
                f"{self.tolerance:.0e}, {self.kinks} kinks)"
            )
        lines = [f"{self.name}: FAILED"]
        lines += [f"  {problem.rule}: {problem.message}" for problem in self.problems]
        if self.elements:
            lines.append("  the worst elements:")
            lines += [
                f"    {e.input}{list(e.index)}: back-propagation {e.analytic:.9g}, "
                f"{self.method} {e.numeric:.9g}, error {e.error:.1e}"
                for e in self.elements[:SHOWN_ELEMENTS]
            ]
        return "\n".join(lines)


def pattern(elements: Sequence[Element], shape: tuple[int, ...], tolerance: float) -> str:
    """Where the wrong elements of one gradient lie and whether one factor explains them.

    Such a pattern often names the bug: a border, a channel, a factor of two.
    """
    wrong = [e for e in elements if not e.error <= tolerance]
    if not wrong:
        return f"wrong along a direction, but at none of {len(elements)} elements"
    found = [f"{len(wrong)} of {len(elements)} elements are wrong"]
    for axis, size in enumerate(shape):
        tried = {e.index[axis] for e in elements}
        places = sorted({e.index[axis] for e in wrong})
        if len(places) < len(tried) and len(places) <= 3:
            listed = ", ".join(map(str, places))
            found.append(f"all at {listed} of axis {axis} (0 to {size - 1})")
    ratios = np.array([e.analytic / e.numeric for e in wrong if e.numeric])
    if len(ratios) == len(wrong) > 1 and np.ptp(ratios) <= 1e-6 * abs(ratios[0]):
        factor = f"{ratios[0]:.6g}"
        if factor != "1":
            found.append(f"each is {factor} times what it should be")
    return "; ".join(found)


def likely_cause(error: float) -> str:
    """What to add to the message of a relative error that float32 inside float64 would make."""
    return ": looks like float32 precision inside" if SINGLE[0] < error < SINGLE[1] else ""


def _plain(value: Any) -> Any:
    """JSON has no infinities and no NaN: they become text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value
