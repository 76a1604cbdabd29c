"""Arithmetic in NumPy, a line or two each; see `minispiral.kernels.arithmetic`."""

from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import logistic, parallel

Array = NDArray[Any]


def add(a: Array, b: Array) -> Array:
    return a + b


def total(*xs: Array) -> Array:
    return reduce(np.add, xs)


def multiply(a: Array, b: Array) -> Array:
    return a * b


def sigmoid(x: Array) -> Array:
    y = parallel.empty(x.shape, x.dtype)
    flat, out = np.ascontiguousarray(x).reshape(-1), y.reshape(-1)
    parallel.run(
        lambda tile: logistic.sigmoid(flat[tile], out[tile]), parallel.row_tiles(flat.size)
    )
    return y


def astype(x: Any, dtype: DTypeLike) -> Array:
    copy: Array = x.astype(dtype)
    return copy


def leading_sum(x: Array, axes: int) -> Array:
    total: Array = x.sum(tuple(range(axes)))
    return total


def blend(running: Array, value: Array, keep: float, take: float) -> None:
    dtype = running.dtype.type
    running *= dtype(keep)
    running += dtype(take) * value
