"""`gradcheck`: whether a backward pass is the derivative of its forward pass, and well behaved."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from minispiral.gradcheck.derivatives import AtKink, NotAnalytic, central_difference, complex_step
from minispiral.gradcheck.report import Element, Problem, Report, pattern
from minispiral.gradcheck.subject import Inputs, Pass, Subject
from minispiral.nn import Module
from minispiral.tensor import Tensor

Array = NDArray[Any]
Method = Literal["complex step", "differences"]

TOLERANCES: dict[Method, float] = {"complex step": 1e-10, "differences": 1e-6}
LINEAR = 1e-11  # rounding allowed between gradients of sums and sums of gradients
VALUES = 1e-11  # and between a forward pass and its oracle, of the largest value
LEAST_SIZE = 1e-3  # gradients are taken for at least so large, of the largest input's
MOVES = 5  # points tried until one is away from all kinks


def gradcheck(
    function: Callable[..., Tensor],
    inputs: Inputs,
    *,
    module: Module | None = None,
    oracle: Callable[..., Array] | None = None,
    name: str = "",
    method: Method | None = None,
    directions: int = 3,
    jointly: bool = False,
    elements: int = 200,
    tolerance: float | None = None,
    seed: int = 0,
) -> Report:
    """Compare back-propagation through a function with derivatives that need none.

    ``function`` takes tensors and returns one; ``inputs`` are its float64 arguments, in order or
    by name. Where it is a `Module`, or ``module`` says which one it calls, that module's parameters
    are checked as well. ::

        report = gradcheck(lambda x, w: ops.conv2d(x, w, stride=2), [x, w])
        assert report.passed, report

    For a random ``gy`` and random directions ``v`` of every input, ``sum(v * gx)`` must agree with
    the derivative of ``sum(gy * function)`` along ``v``, within ``tolerance`` of the size such a
    sum has. That derivative comes from a complex step (tolerance 1e-10) or, where the function
    does not take complex numbers, from central differences that step around kinks (1e-6);
    ``method`` allows but the one. If it fails, ``elements`` entries of the inputs at fault are
    compared one by one. ``jointly`` moves all inputs at once instead of one after the other, each
    weighing the same: quicker for a network of many parameters.

    Besides, a second backward pass must give the same bits, a zero ``gy`` zero gradients, and
    gradients must be linear in ``gy``, finite, and share no memory with one another or anything
    else; inputs and ``gy`` are left as they were. A function on the tape with ``exact = False`` has
    no derivative to agree with: all but that is checked. An ``oracle`` is a function of the input
    arrays, and the output must agree with it.

    Random numbers are private and follow ``seed``. Raises `UserError` for inputs that are not
    float64, share memory, or for a function that returns no tensor.
    """
    began = time.perf_counter()
    subject = Subject(function, inputs, module)
    rng = np.random.default_rng(seed)
    gy = rng.standard_normal(subject.value(subject.values).shape)
    seen = subject.run(subject.values, gy)
    exact = all(f.exact for f in seen.functions)
    chosen: Method = method or "complex step"
    report = Report(
        name=name or getattr(function, "__name__", type(function).__name__),
        method=chosen if exact else "its own rules",
        exact=exact,
        tolerance=tolerance or TOLERANCES[chosen] if exact else LINEAR,
        functions=tuple(sorted({type(f).__name__ for f in seen.functions})),
        problems=list(dict.fromkeys(seen.problems)),
    )
    _check_behaviour(subject, seen, gy, rng, report)
    if oracle is not None:
        _check_values(seen.y, oracle(*subject.values[: subject.arguments]), report)
    if exact:
        options = rng, directions, jointly, elements
        try:
            _check_derivative(subject, seen, gy, report, chosen, *options)
        except NotAnalytic as error:
            if method is not None:
                report.problems.append(Problem("analytic", f"no complex step is possible: {error}"))
            else:
                report.method = "differences"
                report.tolerance = tolerance or TOLERANCES["differences"]
                _check_derivative(subject, seen, gy, report, "differences", *options)
    else:
        report.error = max(report.rules.values(), default=0.0)
    report.seconds = time.perf_counter() - began
    return report


def _check_behaviour(
    subject: Subject, seen: Pass, gy: Array, rng: np.random.Generator, report: Report
) -> None:
    """What holds for every backward pass, be it a derivative or not."""

    def fail(rule: str, message: str) -> None:
        report.problems.append(Problem(rule, message))

    if seen.y.dtype != np.float64:
        fail("float64", f"the output is {seen.y.dtype}")
    if not np.isfinite(seen.y).all():
        fail("finite", "the output holds infinities or NaN")
    other = rng.standard_normal(gy.shape)
    least = LEAST_SIZE * max(map(_largest, seen.gradients), default=0.0)
    again = subject.run(subject.values, gy).gradients
    zero = subject.run(subject.values, np.zeros_like(gy)).gradients
    second = subject.run(subject.values, other).gradients
    both = subject.run(subject.values, 2 * gy - 3 * other).gradients
    for name, g, g2, g0, h, sum_ in zip(
        subject.names, seen.gradients, again, zero, second, both, strict=True
    ):
        if g.dtype != np.float64:
            fail("float64", f"the gradient of {name} is {g.dtype}")
        if not np.isfinite(g).all():
            fail("finite", f"the gradient of {name} holds infinities or NaN")
            continue
        if not np.array_equal(g, g2):
            fail("same bits", f"a second backward pass gives another gradient of {name}")
        if g0.any():
            fail("zero gy", f"gy = 0 gives a gradient of {name} that is not 0")
        size = max(2 * _largest(g) + 3 * _largest(h), least)
        error = _largest(2 * g - 3 * h - sum_) / (size or 1.0)
        report.rules["linear in gy"] = max(report.rules.get("linear in gy", 0.0), error)
        if not error <= LINEAR:
            fail("linear in gy", f"the gradient of {name} is not linear in gy, error {error:.1e}")


def _check_values(y: Array, expected: Array, report: Report) -> None:
    expected = np.asarray(expected)
    if y.shape != expected.shape:
        message = f"the output has shape {y.shape}, its oracle {expected.shape}"
        report.problems.append(Problem("values", message))
        return
    off = np.abs(y - expected)
    error = _largest(off) / (_largest(expected) or 1.0)
    report.rules["values"] = error
    if not error <= VALUES:
        at = tuple(int(i) for i in np.unravel_index(np.argmax(off), off.shape))
        message = (
            f"the output is not what its oracle gives: {np.sum(off > VALUES * _largest(expected))} "
            f"of {y.size} elements, worst at {list(at)}: {y[at]:.9g} instead of {expected[at]:.9g}"
        )
        report.problems.append(Problem("values", message))


def _check_derivative(
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
    """Along directions, at another point where this one lies at a kink; then element by element."""
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
    guilty = [
        i
        for i in range(len(slopes.values))
        if not slopes.compare(slopes.direction([i], rng), report)[2] <= report.tolerance
    ]
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
        point = self.subject.value, self.values, v, self.gy, self.y
        if self.method == "complex step":
            numeric = complex_step(*point)
        else:
            accuracy = self.tolerance / 4 * (size or 1.0)
            numeric, kinks = central_difference(*point, accuracy)
            report.kinks += kinks
        error = abs(analytic - numeric) / (max(size, abs(numeric)) or 1.0)
        return analytic, numeric, error

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


def _largest(x: Array) -> float:
    return float(np.max(np.abs(x), initial=0.0))


def _rms(x: Array) -> float:
    return float(np.sqrt(np.mean(x * x))) if x.size else 0.0
