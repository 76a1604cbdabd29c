"""Batch normalisation, with and without the ReLU behind it.

Over all axes but the last, with ``m`` values per channel::

    mean = sum(x) / m            var = sum((x - mean)**2) / m
    xhat = (x - mean) / sqrt(var + eps)            y = gamma * xhat + beta

and backwards, with sums over the same axes::

    gbeta = sum(gy)    ggamma = sum(gy * xhat)
    gx = gamma / sqrt(var + eps) * (gy - gbeta / m - xhat * ggamma / m)

(Ioffe and Szegedy 2015.) The ``_relu`` kernels do the same for ``max(y, 0)``: the mask is
recomputed from ``x``, so nothing but ``x`` and two vectors is kept between forward and backward.

Every sum is taken in the dtype of ``x`` over at most 256 values and in float64 from there on;
squares are summed about the mean of their tile where it is far from zero. A batch of 32 images of
255 x 255 therefore loses nothing that float32 can hold, whatever the mean.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..shapes import check_vectors
from . import parallel

Array = NDArray[Any]

_FAR = 2.0  # deviations from zero to the mean, beyond which squares are summed about the mean
_BROADCAST = 8192  # elements of a row from which NumPy broadcasts at the speed of its plain loops


class Moments(NamedTuple):
    """Number of values, mean and summed squared distance from the mean, per channel, in float64."""

    values: int
    mean: Array
    squares: Array


def moments(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance per channel: ``x (..., c)`` to two ``(c,)`` of the same dtype."""
    rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    parts = parallel.run(lambda tile: tile_moments(rows[tile]), parallel.row_tiles(*rows.shape))
    return merge_moments([parts], x.dtype)


def tile_moments(rows: Array) -> Moments:
    """Moments of a tile ``(m, c)`` small enough to stay in cache.

    Squares summed about zero lose the digits that the mean has before the deviation, so the few
    channels whose mean is large beside it are summed once more, about the mean.
    """
    m = len(rows)
    mean = _column_sums(rows) / m
    squared = parallel.scratch(rows.shape, rows.dtype, "squared")
    squares = _column_sums(np.multiply(rows, rows, out=squared)) - m * mean**2
    far = m * np.abs(mean) ** 2 > _FAR**2 * np.abs(squares)
    if far.any():
        centred = rows[:, far] - mean[far].astype(rows.dtype)
        # What rounding left of the mean: the centred values sum to nearly, not exactly, zero.
        shift = _column_sums(centred) / m
        mean[far] = mean[far].astype(rows.dtype) + shift
        squares[far] = _column_sums(np.multiply(centred, centred, out=centred)) - m * shift**2
    return Moments(m, mean, squares)


def merge_moments(channels: Iterable[Sequence[Any]], dtype: DTypeLike) -> tuple[Array, Array]:
    """Mean and biased variance from the moments of tiles, one sequence of tiles per channel range.

    The squared distances from the mean of all are those from a tile's own mean and, for each of
    its values, that of the two means: ``sum_t squares_t + n_t * (mean_t - mean)**2``.
    """
    means, variances = [], []
    for tiles in channels:
        counts, tile_means, squares = (np.array(part) for part in zip(*tiles, strict=True))
        values = counts.sum()
        mean = counts @ tile_means / values
        squares = squares.sum(0) + counts @ (tile_means - mean) ** 2
        means.append(mean)
        variances.append(np.maximum(squares, 0) / values)
    return np.concatenate(means).astype(dtype), np.concatenate(variances).astype(dtype)


def normalize(x: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float) -> Array:
    """``gamma * (x - mean) / sqrt(var + eps) + beta`` for ``x (..., c)``."""
    return _normalize(x, mean, var, gamma, beta, eps, relu=False)


def normalize_relu(
    x: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float
) -> Array:
    """``max(normalize(x), 0)`` in one pass."""
    return _normalize(x, mean, var, gamma, beta, eps, relu=True)


def scale_shift_relu(scale: Array, shift: Array) -> Callable[[Array], None]:
    """A function that puts ``max(scale * x + shift, 0)`` in place of ``x (..., c)``.

    With the vectors that `scale_shift` made it is `normalize_relu`, for tiles in cache; it runs on
    the calling thread.
    """
    scale, shift = _repeated(scale), _repeated(shift)

    def apply(x: Array) -> None:
        for rows in _long_rows(x) if x.flags.c_contiguous else [x]:
            _scale_shift(rows, scale, shift, rows, relu=True)

    return apply


def normalize_grad(
    x: Array,
    gy: Array,
    mean: Array,
    var: Array,
    gamma: Array,
    eps: float,
    constant: bool = False,
) -> tuple[Array, Array, Array]:
    """``gx, ggamma, gbeta`` of `normalize`.

    ``mean`` and ``var`` are the moments of ``x`` or, with ``constant``, any given numbers: then
    ``gx = gamma / sqrt(var + eps) * gy``.
    """
    beta = np.zeros_like(gamma)
    return _normalize_grad(x, gy, mean, var, gamma, beta, eps, constant, relu=False)


def normalize_relu_grad(
    x: Array,
    gy: Array,
    mean: Array,
    var: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    constant: bool = False,
) -> tuple[Array, Array, Array]:
    """``gx, ggamma, gbeta`` of `normalize_relu`; ``constant`` as above."""
    return _normalize_grad(x, gy, mean, var, gamma, beta, eps, constant, relu=True)


def _normalize(
    x: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float, relu: bool
) -> Array:
    check_vectors(x, mean, var, gamma, beta)
    y = parallel.empty(x.shape, x.dtype)
    scale, shift = map(_repeated, scale_shift(x.dtype, mean, var, gamma, beta, eps))

    def work(tile: tuple[Array, Array]) -> None:
        rows, out = tile
        _scale_shift(rows, scale, shift, out, relu)

    parallel.run(work, zip(_tiles(x), _tiles(y), strict=True))
    return y


def _scale_shift(rows: Array, scale: Array, shift: Array, out: Array, relu: bool) -> None:
    """``scale * rows + shift`` with the vectors of `_repeated`, and ReLU behind it."""
    size = rows.shape[-1]
    np.multiply(rows, scale[:size], out=out)
    out += shift[:size]
    if relu:  # NumPy's maximum is slow with a single number
        np.maximum(out, np.zeros(size, out.dtype), out=out)


def _normalize_grad(
    x: Array,
    gy: Array,
    mean: Array,
    var: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    constant: bool,
    relu: bool,
) -> tuple[Array, Array, Array]:
    check_vectors(x, mean, var, gamma, beta)
    if gy.shape != x.shape:
        raise ValueError(f"gy has shape {gy.shape}, x has shape {x.shape}")
    gx = parallel.empty(x.shape, x.dtype)
    c, m = x.shape[-1], x.size // x.shape[-1]
    scale, shift = scale_shift(x.dtype, mean, var, gamma, beta, eps)
    scale, negative_shift = _repeated(scale), _repeated(-shift)
    inv = 1 / np.sqrt(var.astype(np.float64) + eps)
    tiles = list(zip(_tiles(x), _tiles(gy), _tiles(gx), strict=True))

    def sums(tile: tuple[Array, ...]) -> tuple[Array, Array]:
        """Of the gradient before the ReLU and of its product with x; it is left in gx."""
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

    parts = parallel.run(sums, tiles)
    gbeta = np.add.reduce([part[0] for part in parts], 0)
    ggamma = (np.add.reduce([part[1] for part in parts], 0) - mean * gbeta) * inv

    # gx = a*g + b*x + d, the formula above sorted by what changes from pixel to pixel
    a = gamma * inv
    b = 0 * a if constant else -a * inv * ggamma / m
    d = 0 * a if constant else -a * gbeta / m - b * mean
    a, b, d = (_repeated(vector.astype(x.dtype)) for vector in (a, b, d))

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
    """Batch norm as ``scale * x + shift``, worked out in float64."""
    scale = gamma / np.sqrt(var.astype(_wide(var)) + eps)
    shift = beta - mean * scale
    return scale.astype(dtype), shift.astype(dtype)


def _wide(x: Array) -> np.dtype[Any]:
    """What long sums are taken in: float64, or complex128 for complex numbers."""
    return np.result_type(x.dtype, np.float64)


def _column_sums(rows: Array) -> Array:
    """Sums over the rows, float64: of blocks that are summed by a product with ones.

    Such a product is several times as fast as ``rows.sum(0)``. Long sums of equal numbers would
    drift in float32, for each addition rounds the same way.
    """
    block = min(max(32, len(rows) // 64), 256)
    whole = len(rows) // block * block
    ones = np.ones(block, rows.dtype)
    blocks = ones @ rows[:whole].reshape(-1, block, rows.shape[1])
    rest = ones[: len(rows) - whole] @ rows[whole:]
    sums: Array = np.add.reduce(blocks, 0, dtype=_wide(rows)) + rest
    return sums


def _repeated(vector: Array) -> Array:
    """The vector ``(c,)`` over and over, for a row of `_long_rows`."""
    return np.tile(vector, max(1, _BROADCAST // len(vector)))


def _long_rows(x: Array) -> list[Array]:
    """``x (..., c)`` in rows of several pixels, and what fills no such row as one more.

    Vectors broadcast to rows of a few hundred channels take NumPy twice the time.
    """
    c, flat = x.shape[-1], x.reshape(-1)
    length = c * max(1, _BROADCAST // c)
    whole = flat.size // length * length
    parts = [flat[:whole].reshape(-1, length), flat[whole:].reshape(1, -1)]
    return [part for part in parts if part.size]


def _tiles(x: Array) -> list[Array]:
    """``x (..., c)`` cut into tiles of such rows."""
    rows = _long_rows(np.ascontiguousarray(x))
    return [part[tile] for part in rows for tile in parallel.row_tiles(*part.shape)]
