"""Back-propagation and a numerical method, compared along directions and element by element."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from minispiral.gradcheck.derivatives import AtKink, NotAnalytic, central_difference, complex_step
from minispiral.gradcheck.report import Element, Problem, Report, pattern
from minispiral.gradcheck.subject import Pass, Subject

Array = NDArray[Any]
Method = Literal["complex step", "differences"]

TOLERANCES: dict[Method, float] = {"complex step": 1e-10, "differences": 1e-6}
LEAST_SIZE = 1e-3  # gradients are taken for at least so large, of the largest input's
MOVES = 5  # points tried until one is away from all kinks


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
            _check_directions(slopes, report, rng, directions, jointly)
            break
        except AtKink as kink:
            report.kinks += kink.kinks
            values = [_moved(value, rng) for value in values]
            seen = subject.run(values, gy)
    else:
        message = f"all of {MOVES} points lie at a kink of the function; give other inputs"
        report.problems.append(Problem("kink", message))
        return
    if not report.error <= report.tolerance:
        _find_elements(slopes, report, rng, elements)


def _check_directions(
    slopes: "Slopes", report: Report, rng: np.random.Generator, directions: int, jointly: bool
) -> None:
    inputs = range(len(slopes.values))
    report.directions, report.error = 0, 0.0
    for _ in range(directions):
        for chosen in [inputs] if jointly else [[i] for i in inputs]:
            analytic, numeric, error = slopes.compare(slopes.direction(chosen, rng), report)
            report.directions += 1
            if not error <= report.error:
                report.error, report.analytic, report.numeric = error, analytic, numeric
                report.input = "all inputs" if jointly else slopes.subject.names[chosen[0]]


def _find_elements(slopes: "Slopes", report: Report, rng: np.random.Generator, most: int) -> None:
    """Say what is wrong: along which direction and, element by element, in which inputs."""
    message = (
        f"along a direction of {report.input} back-propagation gives {report.analytic:.9g}, "
        f"{report.method} {report.numeric:.9g}, error {report.error:.1e}"
    )
    report.problems.append(Problem("derivative", message))
    if not most:
        return
    guilty = [i for i in range(len(slopes.values)) if slopes.disagree(i, report, rng)]
    for i in guilty:
        own = slopes.by_element(i, report, rng, max(1, most // len(guilty)))
        report.elements += own
        shape, name = slopes.values[i].shape, slopes.subject.names[i]
        if any(not e.error <= report.tolerance for e in own):
            message = f"the gradient of {name} {shape}: {pattern(own, shape, report.tolerance)}"
            report.problems.append(Problem("derivative", message))
    report.elements.sort(key=lambda e: -e.error if e.error == e.error else -np.inf)
    if report.elements:
        worst = report.elements[0]
        report.input, report.index, report.error = worst.input, worst.index, worst.error
        report.analytic, report.numeric = worst.analytic, worst.numeric


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
        pairs = list(zip(self.gradients, v, strict=True))
        analytic = float(sum(np.sum(g * b) for g, b in pairs))
        # what a sum of so many independent terms comes to
        size = float(
            np.sqrt(sum((s * np.linalg.norm(b)) ** 2 for s, b in zip(self.sizes, v, strict=True)))
        )
        if self.method == "complex step":
            numeric = complex_step(self.subject.value, self.values, v, self.gy, self.y)
        else:
            numeric, kinks = self._difference(v, size)
            report.kinks += kinks
        error = abs(analytic - numeric) / (max(size, abs(numeric)) or 1.0)
        if self.method == "complex step" and not error <= self.tolerance:
            self._doubt(numeric, v, size)
        return analytic, numeric, error

    def _difference(self, v: Sequence[Array], size: float) -> tuple[float, int]:
        accuracy = TOLERANCES["differences"] / 4 * (size or 1.0)
        return central_difference(self.subject.value, self.values, v, self.gy, self.y, accuracy)

    def _doubt(self, numeric: float, v: Sequence[Array], size: float) -> None:
        """Before blaming back-propagation: is the complex step right? `NotAnalytic` if not."""
        try:
            slope, _ = self._difference(v, size)
        except AtKink:
            return
        if abs(slope - numeric) > TOLERANCES["differences"] * max(size, abs(slope)):
            raise NotAnalytic("its value is not the slope that differences find")

    def disagree(self, i: int, report: Report, rng: np.random.Generator) -> bool:
        """Whether the two differ along a direction of input ``i``, or cannot be compared."""
        try:
            return not self.compare(self.direction([i], rng), report)[2] <= self.tolerance
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
