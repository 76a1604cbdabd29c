"""Compares what an answer returned with what is right, and says what may have gone wrong."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.exercises import Wrong

Array = NDArray[Any]


def expect(
    result: Any,
    expected: Array,
    call: str,
    tolerance: float = 1e-9,
    known: Mapping[str, Any] | None = None,
) -> None:
    """Raise `Wrong` unless ``result``, which ``call`` returned, is the expected array.

    Errors are relative to the largest expected element. ``known``: wrong results, each by what is
    said of it.
    """
    if not isinstance(result, np.ndarray):
        raise Wrong(f"{call} returned {kind_of(result)}, expected an array")
    if result.shape != expected.shape:
        raise Wrong(
            f"{call} returned the shape {result.shape}, expected {expected.shape}"
            f"{_about_shape(result, expected)}"
        )
    error = np.nan_to_num(np.abs(result - expected), nan=np.inf, posinf=np.inf)
    largest = np.abs(expected).max(initial=0)
    if error.max(initial=0) <= tolerance * largest:
        return
    for what, other in (known or {}).items():
        if np.allclose(result, other, rtol=1e-9, atol=1e-9 * largest):
            raise Wrong(f"{call} {what}")
    at = np.unravel_index(error.argmax(), error.shape)
    place = f"[{', '.join(map(str, at))}]" if at else ""
    raise Wrong(
        f"{call}{place} is {result[at]:.9g}, expected {expected[at]:.9g}"
        f"{_about_values(result, expected, float(error.max() / largest))}"
    )


def expect_number(
    result: Any, expected: float, call: str, known: Mapping[str, float] | None = None
) -> None:
    """Raise `Wrong` unless ``result``, which ``call`` returned, is the expected number, not 0."""
    if np.shape(result) != () or not np.issubdtype(np.asarray(result).dtype, np.number):
        raise Wrong(f"{call} returned {kind_of(result)}, expected a number")
    if abs(result - expected) <= 1e-9 * abs(expected):
        return
    for what, other in (known or {}).items():
        if np.isclose(result, other, rtol=1e-9, atol=0):
            raise Wrong(f"{call} {what}")
    ratio = complex(result) / expected
    about = next((said for value, said in _RATIOS if np.isclose(ratio, value, rtol=1e-9)), "")
    if not about and abs(ratio - 1) < 1e-4:
        about = _few_digits(abs(ratio - 1))
    raise Wrong(f"{call} is {_written(result)}, expected {expected:.9g}{about}")


def expect_pair(result: Any, call: str, names: str) -> tuple[Any, Any]:
    """The two that ``call`` returned, which ``names`` says; `Wrong` for anything else."""
    if not isinstance(result, tuple) or len(result) != 2:
        found = kind_of(result)
        if isinstance(result, tuple):
            found += f" of {len(result)}"
        raise Wrong(f"{call} returned {found}, expected the pair {names}")
    return result


def kind_of(result: Any) -> str:
    """What kind of thing an answer returned."""
    if result is None:
        return "None, as a function without return does"
    return type(result).__name__


_RATIOS = ((-1, ": the sign is wrong"), (2, ": twice as much"), (0.5, ": half as much"))


def _about_shape(result: Array, expected: Array) -> str:
    if result.size == expected.size and expected.ndim > result.ndim:
        return ": keep the axes of length 1"
    if result.ndim > 1 and sorted(result.shape) == sorted(expected.shape):
        return ": the axes are in another order"
    return ""


def _about_values(result: Array, expected: Array, error: float) -> str:
    """What all elements have in common, if that says what is wrong."""
    if np.isnan(result).any():
        return ": not a number comes from inf - inf, inf / inf or 0 / 0"
    if not np.isfinite(result).all():
        return ": a number on the way is too large for float64, or a divisor is 0"

    def same(other: Array) -> bool:
        return other.shape == result.shape and np.allclose(result, other, rtol=1e-9, atol=1e-12)

    if len(np.unique(expected)) > 2:  # with fewer, all of this may be by chance
        at = np.unravel_index(np.abs(expected).argmax(), expected.shape)
        ratio = float(np.real(result[at] / expected[at]))
        if ratio and abs(ratio - 1) > 1e-4 and same(ratio * expected):
            return f": everything is {ratio:.6g} times as large as it should be"
        for axis in range(expected.ndim):
            if same(np.flip(expected, axis)):
                return f": axis {axis} runs the wrong way"
        for first, second in combinations(range(expected.ndim), 2):
            if same(expected.swapaxes(first, second)):
                return f": axes {first} and {second} are exchanged"
    return _few_digits(error) if error < 1e-4 else ""


def _few_digits(error: float) -> str:
    return f": right to {max(int(-np.log10(error)), 1)} digits, as in float32 or by differences"


def _written(number: Any) -> str:
    return f"{number:.9g}" if np.isreal(number) else repr(complex(number))
