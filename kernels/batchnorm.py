"""Batch normalisation, with and without the ReLU behind it.

Over all axes but the last, with ``m`` values per channel::

    mean = sum(x) / m            var = sum((x - mean)**2) / m
    xhat = (x - mean) / sqrt(var + eps)            y = gamma * xhat + beta

and backwards, with sums over the same axes::

    gbeta = sum(gy)    ggamma = sum(gy * xhat)
    gx = gamma / sqrt(var + eps) * (gy - gbeta / m - xhat * ggamma / m)

(Ioffe and Szegedy 2015.) The ``_relu`` kernels do the same for ``max(y, 0)``: the mask is
recomputed from ``x``, so nothing but ``x`` and two vectors is kept between forward and backward.

Every sum is taken in the dtype of ``x`` over a few dozen values and in float64 from there on, the
moments about the mean of the tile they are in. A batch of 32 images of 255 x 255 therefore loses
nothing that float32 can hold, whatever the mean.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import parallel

Array = NDArray[Any]


class Moments(NamedTuple):
    """Number of values, mean and summed squared distance from the mean, per channel, in float64."""

    values: int
    mean: Array
    squares: Array


def moments(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance per channel: ``x (..., c)`` to two ``(c,)`` of the same dtype."""
    rows = _rows(x)
    parts = parallel.run(lambda tile: tile_moments(rows[tile]), parallel.row_tiles(*rows.shape))
    return merge_moments([parts], x.dtype)


def tile_moments(rows: Array) -> Moments:
    """Moments of a tile ``(m, c)`` small enough to stay in cache."""
    mean = (_column_sums(rows) / len(rows)).astype(rows.dtype)
    centred = parallel.scratch(rows.shape, rows.dtype, "centred")
    np.subtract(rows, mean, out=centred)
    # What rounding left of the mean: the centred values sum to nearly, not exactly, zero.
    shift = _column_sums(centred) / len(rows)
    np.multiply(centred, centred, out=centred)
    squares = _column_sums(centred) - len(rows) * shift**2
    return Moments(len(rows), mean + shift, squares)


def merge_moments(channels: Iterable[Sequence[Any]], dtype: DTypeLike) -> tuple[Array, Array]:
    """Mean and biased variance from the moments of tiles, one sequence of tiles per channel range.

    ``M2 = M2_a + M2_b + d**2 * n_a * n_b / (n_a + n_b)`` with ``d`` the distance of the means
    (Chan, Golub and LeVeque 1979), in the order of the tiles.
    """
    means, variances = [], []
    for tiles in channels:
        count, mean, squares = tiles[0]
        for n, tile_mean, tile_squares in tiles[1:]:
            distance = tile_mean - mean
            total = count + n
            mean = mean + distance * (n / total)
            squares = squares + tile_squares + distance**2 * (count * n / total)
            count = total
        means.append(mean)
        variances.append(np.maximum(squares, 0) / count)
    return np.concatenate(means).astype(dtype), np.concatenate(variances).astype(dtype)


def normalize(x: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float) -> Array:
    """``gamma * (x - mean) / sqrt(var + eps) + beta`` for ``x (..., c)``."""
    return _normalize(x, mean, var, gamma, beta, eps, relu=False)


def normalize_relu(
    x: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float
) -> Array:
    """``max(normalize(x), 0)`` in one pass."""
    return _normalize(x, mean, var, gamma, beta, eps, relu=True)


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
    _check_vectors(x, mean, var, gamma, beta)
    y = parallel.empty(x.shape, x.dtype)
    rows, out_rows = _rows(x), _rows(y)
    scale, shift = _scale_shift(x.dtype, mean, var, gamma, beta, eps)

    def work(tile: slice) -> None:
        out = out_rows[tile]
        np.multiply(rows[tile], scale, out=out)
        out += shift
        if relu:
            np.maximum(out, 0, out=out)

    parallel.run(work, parallel.row_tiles(*rows.shape))
    return y


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
    _check_vectors(x, mean, var, gamma, beta)
    if gy.shape != x.shape:
        raise ValueError(f"gy has shape {gy.shape}, x has shape {x.shape}")
    gx = parallel.empty(x.shape, x.dtype)
    rows, gy_rows, gx_rows = _rows(x), _rows(gy), _rows(gx)
    m = len(rows)
    scale, shift = _scale_shift(x.dtype, mean, var, gamma, beta, eps)
    inv = 1 / np.sqrt(var.astype(np.float64) + eps)

    def masked(tile: slice, out: Array) -> Array:
        """The gradient before the ReLU: ``gy`` where the output was positive, else zero."""
        if not relu:
            return gy_rows[tile]
        np.multiply(rows[tile], scale, out=out)
        return np.multiply(gy_rows[tile], out > -shift, out=out)

    def sums(tile: slice) -> tuple[Array, Array]:
        g = masked(tile, parallel.scratch(rows[tile].shape, x.dtype, "masked"))
        centred = parallel.scratch(g.shape, x.dtype, "centred")
        np.subtract(rows[tile], mean, out=centred)
        np.multiply(centred, g, out=centred)
        return _column_sums(g), _column_sums(centred)

    parts = parallel.run(sums, parallel.row_tiles(*rows.shape))
    gbeta = np.add.reduce([part[0] for part in parts], 0)
    ggamma = np.add.reduce([part[1] for part in parts], 0) * inv

    # gx = a*g + b*x + d, the formula above sorted by what changes from pixel to pixel
    a = gamma * inv
    b = 0 * a if constant else -a * inv * ggamma / m
    d = 0 * a if constant else -a * gbeta / m - b * mean
    a, b, d = (vector.astype(x.dtype) for vector in (a, b, d))

    def apply(tile: slice) -> None:
        out = gx_rows[tile]
        np.multiply(masked(tile, out), a, out=out)
        slope = parallel.scratch(out.shape, x.dtype, "centred")
        np.multiply(rows[tile], b, out=slope)
        out += slope
        out += d

    parallel.run(apply, parallel.row_tiles(*rows.shape))
    return gx, ggamma.astype(x.dtype), gbeta.astype(x.dtype)


def _scale_shift(
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
    block = max(32, len(rows) // 64)
    whole = len(rows) // block * block
    ones = np.ones(block, rows.dtype)
    blocks = ones @ rows[:whole].reshape(-1, block, rows.shape[1])
    rest = ones[: len(rows) - whole] @ rows[whole:]
    sums: Array = np.add.reduce(blocks, 0, dtype=_wide(rows)) + rest
    return sums


def _rows(x: Array) -> Array:
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])


def _check_vectors(x: Array, *vectors: Array) -> None:
    for vector in vectors:
        if vector.shape != x.shape[-1:]:
            raise ValueError(
                f"expected vectors of {x.shape[-1]} channels for x of shape {x.shape}, "
                f"got shape {vector.shape}"
            )
