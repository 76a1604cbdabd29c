"""Back-propagation and a numerical method, compared along directions and element by element."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from minispiral.gradcheck.derivatives import AtKink, NotAnalytic, central_difference, complex_step
from minispiral.gradcheck.report import Element, Problem, Report, likely_cause, pattern
from minispiral.gradcheck.subject import Pass, Subject

Array = NDArray[Any]
Method = Literal["complex step", "differences"]

TOLERANCES: dict[Method, float] = {"complex step": 1e-10, "differences": 1e-6}
LEAST_SIZE = 1e-3  # gradients are taken for at least so large, of the largest input's
MOVES = 5  # points tried until one is away from all kinks
SUSPECTS = 8  # inputs at fault that are searched: one fault spoils all gradients behind it


def check_derivative(
    subject: Subject,
    seen: Pass,
    gy: Array,
    report: Report,
    method: Method,
    rng: np.random.Generator,
    directions: int,
    jointly: bool,
    elements: int,
) -> None:
    """Compare along directions and, where that fails, find the elements at fault.

    The point is moved where it lies at a kink. Raises `NotAnalytic` where no complex step can
    tell the derivative.
    """
    values = subject.values
    for _ in range(MOVES):
        slopes = Slopes(subject, values, gy, seen, method, report.tolerance)
        try:
            failed = _check_directions(slopes, report, rng, directions, jointly)
            break
        except AtKink as kink:
            report.kinks += kink.kinks
            values = [_moved(value, rng) for value in values]
            seen = subject.run(values, gy)
    else:
        message = f"all of {MOVES} points lie at a kink of the function; give other inputs"
        report.problems.append(Problem("kink", message))
        return
    if failed:
        report.problems += _find_elements(slopes, report, rng, elements, failed)


def _check_directions(
    slopes: "Slopes", report: Report, rng: np.random.Generator, directions: int, jointly: bool
) -> list[Sequence[int]]:
    """The groups of inputs along whose directions the two differ.

    Once some do, further directions have nothing to add.
    """
    inputs = range(len(slopes.values))
    failed: list[Sequence[int]] = []
    report.directions, report.error = 0, 0.0
    for _ in range(directions):
        for chosen in [inputs] if jointly else [[i] for i in inputs]:
            v = slopes.direction(chosen, rng)
            analytic, numeric, error = slopes.compare(v, report)
            if not error <= report.tolerance:
                if not failed:
                    slopes.doubt(v, numeric)
                failed.append(chosen)
            report.directions += 1
            if not error <= report.error:
                report.error, report.analytic, report.numeric = error, analytic, numeric
                report.input = "all inputs" if jointly else slopes.subject.names[chosen[0]]
        if failed:
            break
    return failed


def _find_elements(
    slopes: "Slopes",
    report: Report,
    rng: np.random.Generator,
    most: int,
    failed: Sequence[Sequence[int]],
) -> list[Problem]:
    """What is wrong: element by element, in which inputs, and along which direction."""
    along = Problem(
        "derivative",
        f"along a direction of {report.input} back-propagation gives {report.analytic:.9g}, "
        f"{report.method} {report.numeric:.9g}, error {report.error:.1e}"
        f"{likely_cause(report.error)}",
    )
    if not most:
        return [along]
    guilty = slopes.last_at_fault(failed, report, rng, SUSPECTS)
    problems = []
    for i in guilty:
        own = slopes.by_element(i, report, rng, max(1, most // len(guilty)))
        report.elements += own
        shape, name = slopes.values[i].shape, slopes.subject.names[i]
        message = f"the gradient of {name} {shape}: {pattern(own, shape, report.tolerance)}"
        problems.append(Problem("derivative", message))
    if len(guilty) == SUSPECTS:
        message = f"these {SUSPECTS} are the last at fault; any before them were not searched"
        problems.append(Problem("derivative", message))
    report.elements.sort(key=lambda e: -e.error if e.error == e.error else -np.inf)
    if report.elements:
        worst = report.elements[0]
        report.input, report.index, report.error = worst.input, worst.index, worst.error
        report.analytic, report.numeric = worst.analytic, worst.numeric
    return [*problems, along]


class Slopes:
    """Derivatives at one point, by back-propagation and numerically."""

    def __init__(
        self,
        subject: Subject,
        values: Sequence[Array],
        gy: Array,
        seen: Pass,
        method: Method,
        tolerance: float,
    ) -> None:
        self.subject, self.values, self.gy = subject, values, gy
        self.y, self.gradients = seen.y, seen.gradients
        self.method, self.tolerance = method, tolerance
        sizes = np.array([_rms(g) for g in seen.gradients])
        # Some gradients vanish but for rounding: that of a bias before batch norm.
        self.sizes = np.maximum(sizes, LEAST_SIZE * sizes.max(initial=0.0))

    def direction(self, chosen: Sequence[int], rng: np.random.Generator) -> list[Array]:
        """A random direction of these inputs, weighted so that each has the same share."""
        least = self.sizes[list(chosen)].min()
        v = [np.zeros_like(x) for x in self.values]
        for i in chosen:
            v[i] = rng.standard_normal(v[i].shape) * (least / self.sizes[i] if least else 1.0)
        return v

    def compare(self, v: Sequence[Array], report: Report) -> tuple[float, float, float]:
        """The derivative along ``v`` in both ways, and how far they are apart, relatively."""
        analytic = float(sum(np.sum(g * b) for g, b in zip(self.gradients, v, strict=True)))
        size = self._size(v)
        if self.method == "complex step":
            numeric = complex_step(self.subject.value, self.values, v, self.gy, self.y)
        else:
            numeric, kinks = self._difference(v)
            report.kinks += kinks
        return analytic, numeric, abs(analytic - numeric) / (max(size, abs(numeric)) or 1.0)

    def _size(self, v: Sequence[Array]) -> float:
        """What a sum of as many independent terms as ``v`` has comes to."""
        shares = [s * np.linalg.norm(b) for s, b in zip(self.sizes, v, strict=True)]
        return float(np.linalg.norm(shares))

    def _difference(self, v: Sequence[Array]) -> tuple[float, int]:
        accuracy = TOLERANCES["differences"] / 4 * (self._size(v) or 1.0)
        return central_difference(self.subject.value, self.values, v, self.gy, self.y, accuracy)

    def doubt(self, v: Sequence[Array], numeric: float) -> None:
        """Before blaming back-propagation: is the complex step right? `NotAnalytic` if not."""
        if self.method != "complex step":
            return
        try:
            slope, _ = self._difference(v)
        except AtKink:
            return
        if abs(slope - numeric) > TOLERANCES["differences"] * max(self._size(v), abs(slope)):
            raise NotAnalytic("its value is not the slope that differences find")

    def last_at_fault(
        self,
        groups: Sequence[Sequence[int]],
        report: Report,
        rng: np.random.Generator,
        most: int,
    ) -> list[int]:
        """The last ``most`` inputs at fault in groups of inputs that each hold some.

        A group is halved until one is left. The last come first because back-propagation goes
        from there: a fault in one layer spoils the gradients of all before it.
        """
        found: list[int] = []
        for group in reversed(groups):
            if len(found) == most:
                break
            if len(group) == 1:
                found = [*group, *found]
                continue
            middle = len(group) // 2
            halves = [h for h in (group[:middle], group[middle:]) if self._differ(h, report, rng)]
            found = [*self.last_at_fault(halves, report, rng, most - len(found)), *found]
        return found

    def _differ(self, chosen: Sequence[int], report: Report, rng: np.random.Generator) -> bool:
        """Whether the two differ along a direction of these inputs, or cannot be compared."""
        try:
            return not self.compare(self.direction(chosen, rng), report)[2] <= self.tolerance
        except AtKink:
            return True

    def by_element(
        self, i: int, report: Report, rng: np.random.Generator, most: int
    ) -> list[Element]:
        """Up to ``most`` elements of input ``i``, each compared by itself."""
        found = []
        v = [np.zeros_like(x) for x in self.values]
        for place in np.sort(rng.permutation(v[i].size)[:most]):
            v[i].flat[place] = 1.0
            try:
                compared = self.compare(v, report)
                index = tuple(int(k) for k in np.unravel_index(place, v[i].shape))
                found.append(Element(self.subject.names[i], index, *compared))
            except AtKink as kink:
                report.kinks += kink.kinks
            v[i].flat[place] = 0.0
        return found


def _moved(x: Array, rng: np.random.Generator) -> Array:
    """A point nearby: each number a hundredth larger or smaller, zeros a little away from zero."""
    moved: Array = x * (1 + 0.01 * rng.standard_normal(x.shape))
    moved += np.where(x == 0, 1e-3 * rng.standard_normal(x.shape), 0)
    return moved


def _rms(x: Array) -> float:
    return float(np.sqrt(np.mean(x * x))) if x.size else 0.0
