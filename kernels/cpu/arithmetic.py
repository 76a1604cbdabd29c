"""Small steps between the large kernels: each a line or two of NumPy, and a kernel on the GPU."""

from typing import Any

from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]


def add(a: Array, b: Array) -> Array:
    """``a + b``, broadcast against each other."""
    return a + b


def multiply(a: Array, b: Array) -> Array:
    """``a * b``, broadcast against each other."""
    return a * b


def astype(x: Any, dtype: DTypeLike) -> Array:
    """A copy of ``x``, an array or a number of NumPy, in this dtype."""
    copy: Array = x.astype(dtype)
    return copy


def leading_sum(x: Array, axes: int) -> Array:
    """The sum over the first ``axes`` axes."""
    total: Array = x.sum(tuple(range(axes)))
    return total


def blend(running: Array, value: Array, keep: float, take: float) -> None:
    """``running = keep * running + take * value`` in place; both ``(c,)``."""
    dtype = running.dtype.type
    running *= dtype(keep)
    running += dtype(take) * value
