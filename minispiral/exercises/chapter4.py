"""Checks of chapter 4: derivatives without a backward pass."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.exercises import Wrong, exercise
from minispiral.exercises.arrays import expect, expect_number, kind_of

Array = NDArray[Any]
Answer = Callable[..., Any]


@exercise("4.1", function="richardson", difficulty=1)
def richardson(answer: Answer) -> None:
    """Central differences, extrapolated."""
    rng = np.random.default_rng()
    for power in (1, 2, 3, 4, 5):
        x, v = rng.uniform(1, 2, (2, 3)), rng.uniform(-2, -1, (2, 3))
        if power < 3:
            x, v = x[0, :1], v[0, :1]
        for h in (0.5, 0.125):

            def f(x: Array, power: int = power) -> float:
                return float(np.sum(x**power))

            def central(h: float, f: Any = f, x: Array = x, v: Array = v) -> float:
                return float((f(x + h * v) - f(x - h * v)) / (2 * h))

            kept = x.copy()
            call = f"for f the sum of x**{power}, x of shape {x.shape}, richardson(f, x, v, {h})"
            result = answer(f, x, v.copy(), h)
            if not np.array_equal(x, kept):
                raise Wrong(f"{call} changed x")
            coarse, fine = central(h), central(h / 2)
            ahead = [(f(x + step * v) - f(x)) / step for step in (h, h / 2)]
            short = [(f(x + step * v) - f(x - step * v)) / h for step in (h, h / 2)]
            known = {
                "is D(h): it is not extrapolated": coarse,
                "is D(h/2): it is not extrapolated": fine,
                "is (4 D(h) - D(h/2)) / 3: the steps are exchanged": (4 * coarse - fine) / 3,
                "is 4 D(h/2) - D(h): divide by 3": 4 * fine - coarse,
                "is 2 D(h/2) - D(h), which suits forward differences": 2 * fine - coarse,
                "is made of forward differences": (4 * ahead[1] - ahead[0]) / 3,
                "moves by h/2 and still divides by 2 h": (4 * short[1] / 2 - short[0] / 2) / 3,
                "is the derivative along v with the wrong sign": -(4 * fine - coarse) / 3,
            }
            if v.size == 1:
                by_x = (4 * fine - coarse) / 3 / float(v[0])
                known |= {
                    "is the derivative by x, not along v": by_x,
                    "moves along v / |v|, but v says how far": -by_x,
                }
            expect_number(result, (4 * fine - coarse) / 3, call, known)


@exercise("4.2", function="absolute", difficulty=2)
def absolute(answer: Answer) -> None:
    """An absolute value for the complex step."""
    rng = np.random.default_rng()
    small, wide = rng.uniform(1, 2, 4), 10.0 ** np.array([-200, -20, 0, 200])
    for sizes in (small, small * wide):
        x = sizes * np.array([1, -1, 1, -1])
        for values in (x, -x):
            given = f"x = {[float(f'{number:.3g}') for number in values]}"
            result = answer(values.copy())
            if np.iscomplexobj(result):
                raise Wrong(f"for the real {given}, absolute(x) is complex, expected real numbers")
            _each(result, sizes, f"for {given}, absolute(x)")
            for h in (1e-40, -1e-40):
                z = values + 1j * h
                result = answer(z.copy())
                if not np.iscomplexobj(result):
                    raise Wrong(
                        f"for {given}, absolute(x + {h:.0e}j) is real: the derivative, which is in "
                        f"the imaginary part, is lost"
                    )
                call = f"for {given}, the imaginary part of absolute(x + {h:.0e}j), over {h:.0e},"
                _each(result.imag / h, np.sign(values), call)
                _each(result.real, sizes, f"for {given}, the real part of absolute(x + {h:.0e}j)")


def _each(result: Any, expected: Array, call: str) -> None:
    """Like `expect`, but each error is relative to its own element."""
    if isinstance(result, np.ndarray) and result.shape == expected.shape:
        if np.all(np.abs(result) <= 1e-9 * np.abs(expected)):
            raise Wrong(f"{call} is 0 everywhere: the derivative is lost")
        for i in np.flatnonzero(~np.isclose(result, expected, rtol=1e-9, atol=0)):
            about = (
                "" if np.isfinite(result[i]) and result[i] else ": a square leaves float64's range"
            )
            raise Wrong(f"{call} is {result[i]:.6g} at [{i}], expected {expected[i]:.6g}{about}")
    expect(result, expected, call)


@exercise("4.3", function="wrong_elements", difficulty=2)
def wrong_elements(answer: Answer) -> None:
    """Which elements of a gradient are wrong."""
    rng = np.random.default_rng()
    for sign, shape, curved in (
        (1, (3,), 0),
        (-1, (2, 3), 0),
        (1, (4,), 10),
        (-1, (2, 2, 3), 10),
    ):
        x, a = rng.uniform(-1, 1, shape), rng.uniform(0.5, 2, shape)
        w = rng.uniform(300, 600, shape)

        # The third derivative of the sines is a million; beside 1e6 their digits are few. So the
        # error of a difference is above the tolerance whatever the step.
        def f(x: Array, a: Array = a, w: Array = w, curved: int = curved) -> Any:
            waves = curved * np.sum(np.sin(w * x) / w) + 1e5 * curved
            return np.sum(np.exp(a * x)) + np.prod(2 + x) + waves

        # The derivative of a product with respect to one factor is the product of the others.
        true = a * np.exp(a * x) + np.prod(2 + x) / (2 + x) + curved * np.cos(w * x)
        for count in (0, 1, 2):
            at = np.unravel_index(rng.permutation(x.size)[:count], shape)
            gradient = true.copy()
            # Of either sign, from ten times the tolerance up to as large as the gradient.
            sizes = 10 ** rng.uniform(-8, 0, count)
            sizes[:1] = 1e-8
            signs = rng.choice([-1, 1], count)
            signs[:1] = sign
            gradient[at] += np.abs(true).max() * sizes * signs
            expected = np.zeros(shape, np.bool_)
            expected[at] = True
            _check_found(answer, f, gradient, x, expected, true, bool(curved))


def _check_found(
    answer: Answer,
    f: Answer,
    gradient: Array,
    x: Array,
    expected: Array,
    true: Array,
    curved: bool,
) -> None:
    given = f"a gradient {x.shape} with {int(expected.sum())} wrong elements"
    if curved:
        given += " of a function so curved that no difference quotient is exact enough"
    call = f"for {given}, wrong_elements(f, gradient, x)"
    kept = x.copy()
    result = answer(f, gradient.copy(), x)
    if not np.array_equal(x, kept):
        raise Wrong(f"{call} changed x")
    if not isinstance(result, np.ndarray) or result.dtype != np.bool_ or result.shape != x.shape:
        found = kind_of(result)
        if isinstance(result, np.ndarray):
            found = f"an array {result.shape} of {result.dtype}"
        raise Wrong(f"{call} returned {found}, expected a boolean array {x.shape}")
    for i in np.argwhere(result != expected):
        place = ", ".join(map(str, i))
        error = (gradient[tuple(i)] - true[tuple(i)]) / np.abs(true).max()
        if expected[tuple(i)]:
            raise Wrong(
                f"{call} missed [{place}], which is {abs(error):.0e} of the largest element too "
                f"{'small' if error < 0 else 'large'}"
            )
        raise Wrong(f"{call} blamed [{place}], which is right")
