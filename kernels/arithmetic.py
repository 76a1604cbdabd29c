"""Small steps between the large kernels: elementwise arithmetic, casts and sums.

Arrays of one call lie all on the CPU or all on the GPU.
"""

from typing import Any

from numpy.typing import DTypeLike

from .arrays import on_gpu
from .cpu import arithmetic as cpu
from .cuda import arithmetic as cuda

Array = Any  # NumPy's or the GPU's


def add(a: Array, b: Array) -> Array:
    """``a + b``, with broadcasting."""
    twin = cuda if on_gpu(a) else cpu
    return twin.add(a, b)


def total(*xs: Array) -> Array:
    """The sum of arrays of one shape and dtype, from the left; an array alone is not copied."""
    twin = cuda if on_gpu(xs[0]) else cpu
    return twin.total(*xs)


def multiply(a: Array, b: Array) -> Array:
    """``a * b``, with broadcasting."""
    twin = cuda if on_gpu(a) else cpu
    return twin.multiply(a, b)


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``, Eq. 2; without overflow for any ``x``."""
    twin = cuda if on_gpu(x) else cpu
    return twin.sigmoid(x)


def astype(x: Array, dtype: DTypeLike) -> Array:
    """A copy of ``x``, an array or a NumPy scalar, in this dtype."""
    twin = cuda if on_gpu(x) else cpu
    return twin.astype(x, dtype)


def leading_sum(x: Array, axes: int) -> Array:
    """The sum over the first ``axes`` axes."""
    twin = cuda if on_gpu(x) else cpu
    return twin.leading_sum(x, axes)


def blend(running: Array, value: Array, keep: float, take: float) -> None:
    """``running = keep * running + take * value`` in place.

    Both are ``(c,)`` and of one dtype; ValueError where they are not.
    """
    if running.shape != value.shape or running.dtype != value.dtype:
        raise ValueError(
            f"expected {running.dtype} of shape {running.shape}, got {value.dtype} {value.shape}"
        )
    twin = cuda if on_gpu(running) else cpu
    twin.blend(running, value, keep, take)
