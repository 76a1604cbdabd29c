"""Arithmetic on the GPU; see `minispiral.kernels.arithmetic`.

There are kernels for what a training step broadcasts; the rest is left to the arrays' own
arithmetic.
"""

import numpy as np
from numpy.typing import DTypeLike

from .launch import Array, blocks, ctype, empty, launch
from .rows import MOST_ARRAYS, SHARED_DOUBLE, THREADS, block_of, grid_of, padded
from .table import declare

for t, registers in (("float", 40), ("double", 48)):
    for name in ("add", "add_all", "multiply", "sigmoid_of", "blend"):
        declare("arithmetic.cu", f"{name}<{t}>", registers=registers)
    for other in ("float", "double"):
        declare("arithmetic.cu", f"convert<{t}, {other}>")
    for name in ("block_row_sums", "merge_row_sums"):
        declare("arithmetic.cu", f"{name}<{t}>", shared=SHARED_DOUBLE, registers=registers)


def add(a: Array, b: Array) -> Array:
    return _combine("add", *_longer_first(a, b)) if _repeats(a, b) else a + b


def total(*xs: Array) -> Array:
    """In as few launches as a kernel takes arrays for."""
    first, *rest = xs
    if any(x.shape != first.shape or x.dtype != first.dtype for x in rest):
        given = ", ".join(f"{x.dtype} {x.shape}" for x in xs)
        raise ValueError(f"expected arrays of one shape and dtype, got {given}")
    while rest:
        terms, rest = [first, *rest[: MOST_ARRAYS - 1]], rest[MOST_ARRAYS - 1 :]
        first = empty(first.shape, first.dtype)
        sizes = np.int32(len(terms)), np.int32(first.size)
        launch(f"add_all<{ctype(first.dtype)}>", _grid(first), *padded(terms), *sizes, first)
    return first


def multiply(a: Array, b: Array) -> Array:
    return _combine("multiply", *_longer_first(a, b)) if _repeats(a, b) else a * b


def sigmoid(x: Array) -> Array:
    y = empty(x.shape, x.dtype)
    launch(f"sigmoid_of<{ctype(x.dtype)}>", _grid(x), x, np.int32(x.size), y)
    return y


def astype(x: Array, dtype: DTypeLike) -> Array:
    y = empty(x.shape, dtype)
    launch(f"convert<{ctype(x.dtype)}, {ctype(dtype)}>", _grid(y), x, np.int32(x.size), y)
    return y


def leading_sum(x: Array, axes: int) -> Array:
    """Summed in float64, then rounded."""
    y = empty(x.shape[axes:], x.dtype)
    t, c = ctype(x.dtype), y.size
    m = x.size // c
    grid, block = grid_of(m, c), block_of(c)
    parts = empty((grid[1], c, 1), np.float64)
    launch(f"block_row_sums<{t}>", grid, x, np.int32(m), np.int32(c), parts, block=block)
    sizes = np.int32(grid[1]), np.int32(c)
    launch(f"merge_row_sums<{t}>", grid[:1], parts, *sizes, y, block=block)
    return y


def blend(running: Array, value: Array, keep: float, take: float) -> None:
    t, n = running.dtype.type, np.int32(running.size)
    launch(f"blend<{ctype(t)}>", _grid(running), running, value, t(keep), t(take), n)


def _repeats(a: Array, b: Array) -> bool:
    """Whether the shape of one ends in that of the other: broadcasting repeats it in memory."""
    short, long = sorted((a.shape, b.shape), key=len)
    alike = a.dtype == b.dtype and a.dtype in (np.float32, np.float64)
    return alike and long[len(long) - len(short) :] == short


def _longer_first(a: Array, b: Array) -> tuple[Array, Array]:
    return (a, b) if a.ndim >= b.ndim else (b, a)


def _combine(name: str, a: Array, b: Array) -> Array:
    y = empty(a.shape, a.dtype)
    sizes = np.int32(a.size), np.int32(b.size)
    launch(f"{name}<{ctype(a.dtype)}>", _grid(y), a, b, *sizes, y)
    return y


def _grid(y: Array) -> tuple[int]:
    return (blocks(y.size, THREADS),)
