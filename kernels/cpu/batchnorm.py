"""Batch norm in NumPy; the formulas are in `minispiral.kernels.batchnorm`.

Every sum is taken in the dtype of ``x`` over at most 256 values and in float64 from there on;
squares are summed about the mean of their tile where it is far from zero. A batch of 32 images of
255 x 255 therefore loses nothing that float32 can hold, whatever the mean.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import collective
from ..norm import Norm
from . import arithmetic, parallel

Array = NDArray[Any]

_FAR = 2.0  # deviations from zero to the mean beyond which squares are summed about the mean
_LONG_ROW = 8192  # elements of a row from which on NumPy broadcasts at full speed


class Moments(NamedTuple):
    """Number of values, mean and summed squared distance from the mean, per channel, in float64."""

    values: int
    mean: Array
    squares: Array


def moments(x: Array, norm: Norm | None = None) -> tuple[Array, Array]:
    rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    parts = parallel.run(lambda tile: tile_moments(rows[tile]), parallel.row_tiles(*rows.shape))
    return merge_moments([parts], x.dtype, norm)


def tile_moments(rows: Array) -> Moments:
    """Moments of a tile ``(m, c)`` small enough to stay in cache.

    Where the mean is large compared with the deviation, squares summed about zero cancel: the few
    channels of that kind are summed once more, about their mean.
    """
    m = len(rows)
    if m == 0:  # as in a process that has no image of the batch
        return Moments(0, *np.zeros((2, rows.shape[1]), _wide(rows)))
    mean = _column_sums(rows) / m
    squared = parallel.scratch(rows.shape, rows.dtype, "squared")
    squares = _column_sums(np.multiply(rows, rows, out=squared)) - m * mean**2
    far = m * np.abs(mean) ** 2 > _FAR**2 * np.abs(squares)
    if far.any():
        centred = rows[:, far] - mean[far].astype(rows.dtype)
        # The rounded mean is not exact: the centred values sum to nearly zero only.
        shift = _column_sums(centred) / m
        mean[far] = mean[far].astype(rows.dtype) + shift
        squares[far] = _column_sums(np.multiply(centred, centred, out=centred)) - m * shift**2
    return Moments(m, mean, squares)


def merge_moments(
    channels: Iterable[Sequence[Moments]], dtype: DTypeLike, norm: Norm | None = None
) -> tuple[Array, Array]:
    """Mean and biased variance from the moments of tiles, one sequence of tiles per channel range.

    Where other processes hold parts of the batch, theirs are merged after those of the tiles. With
    ``norm`` its scale and shift are set, and its running moments moved.
    """
    merged = [_merge(*map(np.array, zip(*tiles, strict=True))) for tiles in channels]
    values = merged[0].values
    mean = np.concatenate([part.mean for part in merged])
    squares = np.concatenate([part.squares for part in merged])
    if collective.is_shared():
        parts = collective.gather(np.concatenate(([values], mean, squares)))
        c = len(mean)
        values, mean, squares = _merge(parts[:, 0], parts[:, 1 : c + 1], parts[:, c + 1 :])
    mean, var = mean.astype(dtype), (np.maximum(squares, 0) / values).astype(dtype)
    if norm is not None:
        _conclude(norm, mean, var, int(values))
    return mean, var


def _conclude(norm: Norm, mean: Array, var: Array, values: int) -> None:
    """See `Norm`; the moments are those of ``values`` values."""
    norm.check(mean)
    vectors = mean, var, norm.gamma, norm.beta
    norm.scale, norm.shift = scale_shift(mean.dtype, *vectors, norm.eps)
    if values > 1:
        keep, take = 1 - norm.momentum, norm.momentum
        arithmetic.blend(norm.running_mean, mean, keep, take)
        arithmetic.blend(norm.running_var, var, keep, take * values / (values - 1))


def _merge(counts: Array, means: Array, squares: Array) -> Moments:
    """The moments of all values, from those of their parts ``(parts, c)``.

    The squared distances from the common mean are ``sum_t squares_t + n_t * (mean_t - mean)**2``
    (Chan, Golub and LeVeque 1979).
    """
    values = counts.sum()
    mean = counts @ means / max(values, 1)
    return Moments(values, mean, squares.sum(0) + counts @ (means - mean) ** 2)


def normalize(
    x: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float, relu: bool
) -> Array:
    y = parallel.empty(x.shape, x.dtype)
    scale, shift = map(_tiled, scale_shift(x.dtype, mean, var, gamma, beta, eps))

    def work(tile: tuple[Array, Array]) -> None:
        rows, out = tile
        _scale_shift(rows, scale, shift, out, relu)

    parallel.run(work, zip(_tiles(x), _tiles(y), strict=True))
    return y


def scale_shift_relu(scale: Array, shift: Array) -> Callable[[Array], None]:
    """A function that replaces a tile ``x (..., c)`` by ``max(scale * x + shift, 0)``.

    It runs on the calling thread.
    """
    scale, shift = _tiled(scale), _tiled(shift)

    def apply(x: Array) -> None:
        for rows in _long_rows(x) if x.flags.c_contiguous else [x]:
            _scale_shift(rows, scale, shift, rows, relu=True)

    return apply


def _scale_shift(rows: Array, scale: Array, shift: Array, out: Array, relu: bool) -> None:
    """``out = scale * rows + shift``, followed by a ReLU if wanted."""
    size = rows.shape[-1]
    np.multiply(rows, scale[:size], out=out)
    out += shift[:size]
    if relu:  # NumPy's maximum is slow with a single number
        np.maximum(out, np.zeros(size, out.dtype), out=out)


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
) -> tuple[Array, Array, Array]:
    gx = parallel.empty(x.shape, x.dtype)
    c = x.shape[-1]
    scale, shift = scale_shift(x.dtype, mean, var, gamma, beta, eps)
    scale, negative_shift = _tiled(scale), _tiled(-shift)
    inv = 1 / np.sqrt(var.astype(np.float64) + eps)
    tiles = list(zip(_tiles(x), _tiles(gy), _tiles(gx), strict=True))

    def sums(tile: tuple[Array, ...]) -> tuple[Array, Array]:
        """Of the gradient behind the ReLU, which is left in gx, and of its product with x."""
        rows, g, out = tile
        if relu:
            size = rows.shape[-1]
            np.multiply(rows, scale[:size], out=out)
            positive = parallel.scratch(out.shape, np.bool_, "positive")
            np.greater(out, negative_shift[:size], out=positive)
            g = np.multiply(g, positive, out=out)
        weighted = parallel.scratch(g.shape, x.dtype, "weighted")
        np.multiply(rows, g, out=weighted)
        return _column_sums(g.reshape(-1, c)), _column_sums(weighted.reshape(-1, c))

    parts = np.reshape(parallel.run(sums, tiles), (-1, 2, c))
    gbeta, weighted = np.add.reduce(parts, 0)
    ggamma = (weighted - mean * gbeta) * inv

    # The formula of gx, sorted by what changes from pixel to pixel: gx = a*g + b*x + d.
    a = gamma * inv
    b = d = 0 * a
    if not constant:
        all_ggamma, all_gbeta = np.add.reduce(collective.gather(np.stack((ggamma, gbeta))), 0)
        b = -a * inv * all_ggamma / m
        d = -a * all_gbeta / m - b * mean
    a, b, d = (_tiled(vector.astype(x.dtype)) for vector in (a, b, d))

    def apply(tile: tuple[Array, ...]) -> None:
        rows, g, out = tile
        size = rows.shape[-1]
        np.multiply(out if relu else g, a[:size], out=out)
        weighted = parallel.scratch(out.shape, x.dtype, "weighted")
        out += np.multiply(rows, b[:size], out=weighted)
        out += d[:size]

    parallel.run(apply, tiles)
    return gx, ggamma.astype(x.dtype), gbeta.astype(x.dtype)


def scale_shift(
    dtype: DTypeLike, mean: Array, var: Array, gamma: Array, beta: Array, eps: float
) -> tuple[Array, Array]:
    """Computed in float64."""
    scale = gamma / np.sqrt(var.astype(_wide(var)) + eps)
    shift = beta - mean * scale
    return scale.astype(dtype), shift.astype(dtype)


def _wide(x: Array) -> np.dtype[Any]:
    """The dtype of long sums: float64, or complex128 for complex numbers."""
    return np.result_type(x.dtype, np.float64)


def _column_sums(rows: Array) -> Array:
    """Sums over the rows in float64, of blocks of rows that a product with ones sums.

    Such a product is several times as fast as ``rows.sum(0)``. Blocks are short because in float32
    a long sum of equal numbers drifts: each addition rounds the same way.
    """
    block = min(max(32, len(rows) // 64), 256)
    stop = len(rows) // block * block
    ones = np.ones(block, rows.dtype)
    blocks = ones @ rows[:stop].reshape(-1, block, rows.shape[1])
    rest = ones[: len(rows) - stop] @ rows[stop:]
    sums: Array = np.add.reduce(blocks, 0, dtype=_wide(rows)) + rest
    return sums


def _tiled(vector: Array) -> Array:
    """The vector ``(c,)``, repeated for a row of `_long_rows`."""
    return np.tile(vector, max(1, _LONG_ROW // len(vector)))


def _long_rows(x: Array) -> list[Array]:
    """``x (..., c)`` as rows of several pixels each, and the rest as one shorter row.

    NumPy takes twice the time to broadcast a vector to rows of a few hundred channels.
    """
    c, flat = x.shape[-1], x.reshape(-1)
    length = c * max(1, _LONG_ROW // c)
    stop = flat.size // length * length
    parts = [flat[:stop].reshape(-1, length), flat[stop:].reshape(1, -1)]
    return [part for part in parts if part.size]


def _tiles(x: Array) -> list[Array]:
    """The tiles of `_long_rows`."""
    rows = _long_rows(np.ascontiguousarray(x))
    return [part[tile] for part in rows for tile in parallel.row_tiles(*part.shape)]
