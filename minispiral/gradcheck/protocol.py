"""`gradcheck`: whether a backward pass is the derivative of its forward pass, and well behaved."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.device import CPU, Device
from minispiral.gradcheck.comparison import LEAST_SIZE, TOLERANCES, Method, check_derivative
from minispiral.gradcheck.derivatives import NotAnalytic
from minispiral.gradcheck.report import Problem, Report, likely_cause
from minispiral.gradcheck.subject import Inputs, Pass, Subject
from minispiral.nn import Module
from minispiral.tensor import Tensor

Array = NDArray[Any]

LINEAR = 1e-11  # rounding allowed between gradients of sums and sums of gradients
VALUES = 1e-11  # and between a forward pass and its oracle, of the largest value


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
    device: Device = CPU,
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
    is not analytic, from central differences that step around kinks (1e-6); ``method`` allows
    but the one. If it fails, ``elements`` entries of the inputs at fault, the last eight where
    they are many, are compared one by one. ``jointly`` moves all inputs at once instead of one
    after the other, each weighing the same: quicker for a network of many parameters.

    Besides, a second backward pass must give the same bits, a zero ``gy`` zero gradients, and
    gradients must be linear in ``gy``, finite, and share no memory with one another or anything
    else; inputs, outputs and ``gy`` are left as they were, and so are buffers in evaluation mode. A
    function on the tape with ``exact = False`` has no derivative to agree with: all but that is
    checked. An ``oracle`` is a function of the input arrays, and the output must agree with it.

    The function runs forward and back on ``device``; its complex steps are taken on the CPU, so
    that on a GPU back-propagation there is held against the derivatives of the same function here.
    Random numbers are private and follow ``seed``. Raises `UserError` for inputs that are not
    float64, share memory, or for a function that returns no tensor.
    """
    began = time.perf_counter()
    subject = Subject(function, inputs, module, device)
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
    )
    _check_behaviour(subject, seen, gy, rng, report)
    if oracle is not None:
        _check_values(seen.y, oracle(*subject.values[: subject.arguments]), report)
    if exact:
        options = rng, directions, jointly, elements
        try:
            check_derivative(subject, seen, gy, report, chosen, *options)
        except NotAnalytic as error:
            if method is not None:
                report.problems.append(Problem("analytic", f"no complex step is possible: {error}"))
            else:
                report.method = "differences"
                report.tolerance = tolerance or TOLERANCES["differences"]
                check_derivative(subject, seen, gy, report, "differences", *options)
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
    further = gy, np.zeros_like(gy), other, 2 * gy - 3 * other
    passes = [seen, *(subject.run(subject.values, one) for one in further)]
    report.problems += dict.fromkeys(problem for one in passes for problem in one.problems)
    for name, g, g2, g0, h, sum_ in zip(
        subject.names, *(one.gradients for one in passes), strict=True
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
            message = f"the gradient of {name} is not linear in gy, error {error:.1e}"
            fail("linear in gy", message + likely_cause(error))


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
        report.problems.append(Problem("values", message + likely_cause(error)))


def _largest(x: Array) -> float:
    return float(np.max(np.abs(x), initial=0.0))
