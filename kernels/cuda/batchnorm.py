"""Batch norm on the GPU, sums in two passes; the formulas are in `minispiral.kernels.batchnorm`.

The arrays of a call have one dtype, ValueError where they have not: kernels would read the numbers
of one as those of the other.
"""

import numpy as np
from numpy.typing import DTypeLike

from .. import collective
from ..norm import Norm
from .launch import MOST_BLOCKS, Array, blocks, ctype, empty, launch
from .rows import (
    FEW_PARTS,
    SHARED_DOUBLE,
    THREADS,
    adjacent,
    block_of,
    grid_of,
    merging,
)
from .table import declare

for t, registers in (("float", 48), ("double", 64)):
    for name in ("block_moments", "merge_moments", "merge_norm_moments"):
        declare("batchnorm.cu", f"{name}<{t}>", shared=3 * SHARED_DOUBLE, registers=registers)
    declare("batchnorm.cu", f"merge_grad_sums<{t}>", shared=2 * SHARED_DOUBLE, registers=registers)
    declare("batchnorm.cu", f"scale_shift<{t}>", registers=registers)
    for relu in ("false", "true"):
        declare("batchnorm.cu", f"normalize<{t}, {relu}>", registers=registers)
        name = f"block_grad_sums<{t}, {relu}>"
        declare("batchnorm.cu", name, shared=2 * SHARED_DOUBLE, registers=registers)
        declare("batchnorm.cu", f"apply_grad<{t}, {relu}>", registers=registers)
        name = f"apply_grad_of_parts<{t}, {relu}>"
        declare("batchnorm.cu", name, shared=2 * SHARED_DOUBLE, registers=registers)
for part, numbers in (("Moments", 3), ("GradSums", 2)):
    name = f"merge_parts<{part}>"
    declare("batchnorm.cu", name, shared=numbers * SHARED_DOUBLE, registers=48)

_ROWS_PER_THREAD = 32  # where every block merges sums of parts, so that there are not many blocks


def moments(x: Array, norm: Norm | None = None) -> tuple[Array, Array]:
    t, (m, c) = ctype(x.dtype), _rows(x)
    grid, block = grid_of(m, c), block_of(c)
    parts = empty((grid[1], c, 3), np.float64)
    launch(f"block_moments<{t}>", grid, x, np.int32(m), np.int32(c), parts, block=block)
    return merged_moments(parts, x.dtype, norm)


def merged_moments(parts: Array, dtype: DTypeLike, norm: Norm | None = None) -> tuple[Array, Array]:
    """Mean and biased variance ``(c,)`` from counts, means and squares of parts ``(parts, c, 3)``.

    With ``norm`` the same launch makes its scale and shift, and moves its running moments. Where
    other processes hold parts of the batch, theirs are merged too: all get the same numbers.
    """
    t, c = ctype(dtype), parts.shape[1]
    mean, var = empty((c,), dtype), empty((c,), dtype)
    if collective.is_shared():
        parts = collective.gather(_merged("Moments", parts))
    grid, block = merging(len(parts), c)
    arguments = parts, np.int32(len(parts)), np.int32(c)
    if norm is None:
        launch(f"merge_moments<{t}>", grid, *arguments, mean, var, block=block)
        return mean, var
    norm.check(mean)
    norm.scale, norm.shift = empty((c,), dtype), empty((c,), dtype)
    affine = norm.gamma, norm.beta, np.float64(norm.eps), np.float64(norm.momentum)
    results = mean, var, norm.scale, norm.shift, norm.running_mean, norm.running_var
    launch(f"merge_norm_moments<{t}>", grid, *arguments, *affine, *results, block=block)
    return mean, var


def scale_shift(
    dtype: DTypeLike, mean: Array, var: Array, gamma: Array, beta: Array, eps: float
) -> tuple[Array, Array]:
    """``dtype`` is that of the vectors."""
    t, c = _type_of(mean, var, gamma, beta), mean.size
    if ctype(dtype) != t:
        raise ValueError(f"expected vectors of dtype {np.dtype(dtype)}, got {mean.dtype}")
    scale, shift = empty((c,), dtype), empty((c,), dtype)
    vectors = mean, var, gamma, beta, np.float64(eps), np.int32(c)
    launch(f"scale_shift<{t}>", (blocks(c, THREADS),), *vectors, scale, shift)
    return scale, shift


def normalize(
    x: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float, relu: bool
) -> Array:
    t, (m, c) = _type_of(x, mean, var, gamma, beta), _rows(x)
    y = empty(x.shape, x.dtype)
    vectors = mean, var, gamma, beta, np.float64(eps)
    sizes = np.int32(m), np.int32(c)
    name = f"normalize<{t}, {_boolean(relu)}>"
    grid = grid_of(m, c, most=MOST_BLOCKS[1])
    launch(name, grid, x, *vectors, *sizes, y, block=block_of(c))
    return y


def normalize_grad(
    x: Array,
    gy: Array,
    mean: Array,
    var: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    m: int,
    constant: bool,
    relu: bool,
    sums: Array | None = None,
) -> tuple[Array, Array, Array]:
    """``sums (parts, c, 2)`` are those that the first pass would take, where others took them."""
    t, (rows, c) = _type_of(x, gy, mean, var, gamma, beta), _rows(x)
    ggamma, gbeta = empty((c,), x.dtype), empty((c,), x.dtype)
    gx, sizes = empty(x.shape, x.dtype), (np.int32(rows), np.int32(c))
    vectors = mean, var, gamma, beta, np.float64(eps)

    if sums is None:
        grid = grid_of(rows, c)
        sums = empty((grid[1], c, 2), np.float64)
        name = f"block_grad_sums<{t}, {_boolean(relu)}>"
        launch(name, grid, x, gy, *vectors, *sizes, sums, block=block_of(c))

    whole = constant or not collective.is_shared()  # so the parts are all there is
    if whole and len(sums) <= FEW_PARTS:
        grid = grid_of(rows, c, _ROWS_PER_THREAD, MOST_BLOCKS[1])
        given = sums, np.int32(len(sums)), *vectors, np.bool_(constant)
        name = f"apply_grad_of_parts<{t}, {_boolean(relu)}>"
        launch(name, grid, x, gy, *given, *sizes, ggamma, gbeta, gx, block=block_of(c))
        return gx, ggamma, gbeta

    coefficients = empty((5, c), x.dtype)

    def merge_sums(parts: Array, rows: int, ggamma: Array, gbeta: Array) -> None:
        """From the sums of the parts of ``rows``; `apply_grad` takes the last coefficients."""
        given = parts, np.int32(len(parts)), *vectors, np.bool_(constant)
        results = ggamma, gbeta, coefficients
        grid, block = merging(len(parts), c)
        sizes = np.int32(rows), np.int32(c)
        launch(f"merge_grad_sums<{t}>", grid, *given, *sizes, *results, block=block)

    merge_sums(sums, rows, ggamma, gbeta)
    if not whole:
        of_all = empty((c,), x.dtype), empty((c,), x.dtype)  # which nobody wants
        merge_sums(collective.gather(_merged("GradSums", sums)), m, *of_all)
    count = adjacent(x, gy, coefficients, gx)
    columns = c // count  # of threads
    grid, block = grid_of(rows, columns, most=MOST_BLOCKS[1]), block_of(columns)
    name = f"apply_grad<{t}, {_boolean(relu)}>"
    launch(name, grid, x, gy, coefficients, np.bool_(count > 1), *sizes, gx, block=block)
    return gx, ggamma, gbeta


def _merged(kind: str, parts: Array) -> Array:
    """The parts ``(parts, c, ...)`` of this process as one, ``(c, ...)``.

    By the blocks by which parts become results: a single process gets the same bits either way.
    """
    merged = empty(parts.shape[1:], np.float64)
    count, c = parts.shape[:2]
    grid, block = merging(count, c)
    sizes = np.int32(count), np.int32(c)
    launch(f"merge_parts<{kind}>", grid, parts, *sizes, merged, block=block)
    return merged


def _rows(x: Array) -> tuple[int, int]:
    """Values per channel, and channels."""
    return x.size // x.shape[-1], x.shape[-1]


def _type_of(*arrays: Array) -> str:
    dtypes = {array.dtype for array in arrays}
    if len(dtypes) > 1:
        raise ValueError(f"expected one dtype throughout, got {' and '.join(map(str, dtypes))}")
    return ctype(arrays[0].dtype)


def _boolean(value: bool) -> str:
    return "true" if value else "false"
