"""Typical wrong answers to the exercises of chapter 3.

Each docstring is a regular expression that the refusal must match.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.book.told import told

Array = NDArray[Any]


def wrong_3_1_mean_forgotten(
    w: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: float, transpose: bool
) -> tuple[Array, Array]:
    """is beta: what the mean takes away"""
    a = gamma / np.sqrt(var + eps)
    return w * (a[:, None] if transpose else a), beta


def wrong_3_1_eps_forgotten(
    w: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: float, transpose: bool
) -> tuple[Array, Array]:
    """forgets eps"""
    a = gamma / np.sqrt(var)
    return w * (a[:, None] if transpose else a), beta - a * mean


def wrong_3_1_in_place(
    w: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: float, transpose: bool
) -> tuple[Array, Array]:
    """changed w itself"""
    a = gamma / np.sqrt(var + eps)
    w *= a[:, None] if transpose else a
    return w, beta - a * mean


def wrong_3_2_difference_of_squares(tiles: Iterable[Array]) -> tuple[Array, Array]:
    """a difference of squares"""
    m, total, squares = 0, np.zeros(1), np.zeros(1)
    for tile in tiles:
        m, total, squares = m + len(tile), total + tile.sum(0), squares + (tile**2).sum(0)
    return total / m, squares / m - (total / m) ** 2


def wrong_3_2_tiles_kept(tiles: Iterable[Array]) -> tuple[Array, Array]:
    """after the next one was asked for"""
    rows = np.concatenate(list(tiles))
    return rows.mean(0), rows.var(0)


def wrong_3_2_means_of_tiles_forgotten(tiles: Iterable[Array]) -> tuple[Array, Array]:
    """their means differ"""
    m, total, squares = 0, np.zeros(1), np.zeros(1)
    for tile in tiles:
        m, total = m + len(tile), total + tile.sum(0)
        squares = squares + len(tile) * tile.var(0)
    return total / m, squares / m


def wrong_3_2_unbiased(tiles: Iterable[Array]) -> tuple[Array, Array]:
    """divide by the number of rows"""
    rows = np.concatenate([tile.copy() for tile in tiles])
    return rows.mean(0), rows.var(0, ddof=1)


def wrong_3_3_moments_constant(x: Array, gy: Array, eps: float) -> Array:
    """takes the moments for constants"""
    return gy / np.sqrt(x.var(-1, keepdims=True) + eps)


def wrong_3_3_variance_constant(x: Array, gy: Array, eps: float) -> Array:
    """forgets that the variance moves"""
    return (gy - gy.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)


def wrong_3_3_over_pixels(x: Array, gy: Array, eps: float) -> Array:
    """over the channels of a pixel"""
    # Batch norm's gradient
    axes = 0, 1, 2
    inv = 1 / np.sqrt(x.var(axes) + eps)
    xhat = (x - x.mean(axes)) * inv
    return inv * (gy - gy.mean(axes) - xhat * (gy * xhat).mean(axes))


def _folded(root: Any, bias: Any = None) -> Any:
    """An answer to 3.1 with these instead of the standard deviation and of the bias."""

    def answer(w, gamma, beta, mean, var, eps, transpose):
        a = gamma / root(var, eps)
        right = beta - mean * gamma / np.sqrt(var + eps)
        return w * (a[:, None] if transpose else a), bias(beta, mean, a) if bias else right

    return answer


def _std(var: Array, eps: float) -> Array:
    return np.sqrt(var + eps)


wrong_3_1_no_root = told("divides by the variance", _folded(lambda var, eps: var + eps))
wrong_3_1_eps_outside = told("adds eps behind", _folded(lambda var, eps: np.sqrt(var) + eps))
wrong_3_1_multiplied = told(
    "multiplies by the standard deviation", _folded(lambda var, eps: 1 / np.sqrt(var + eps))
)
wrong_3_1_mean_added = told("adds what the mean", _folded(_std, lambda b, m, a: b + m * a))
wrong_3_1_mean_not_scaled = told("scale it too", _folded(_std, lambda b, m, a: b - m))
wrong_3_1_beta_scaled = told("scales beta", _folded(_std, lambda b, m, a: (b - m) * a))
wrong_3_1_no_deviation = told("forgets the standard", _folded(lambda var, eps: np.ones_like(var)))
wrong_3_1_axis = told(
    "fails with ValueError: operands could not be broadcast",
    lambda w, gamma, beta, mean, var, eps, transpose: (w * gamma[:, None], beta),
)
wrong_3_1_weights_alone = told(r"expected the pair \(v, bias\)", lambda w, *rest: w * 1)


def _all(tiles: Iterable[Array]) -> Array:
    return np.concatenate([tile.copy() for tile in tiles])


def wrong_3_2_mean_of_means(tiles: Iterable[Array]) -> tuple[Array, Array]:
    """the mean of the tiles' means: weight each"""
    kept = [tile.copy() for tile in tiles]
    return np.mean([tile.mean(0) for tile in kept], axis=0), np.concatenate(kept).var(0)


def wrong_3_2_not_divided(tiles: Iterable[Array]) -> tuple[Array, Array]:
    """7 times as large as it should be"""
    rows = _all(tiles)
    return rows.mean(0), len(rows) * rows.var(0)


def wrong_3_2_deviation(tiles: Iterable[Array]) -> tuple[Array, Array]:
    """the standard deviation: the variance is its square"""
    rows = _all(tiles)
    return rows.mean(0), rows.std(0)


def wrong_3_2_all_channels_in_one(tiles: Iterable[Array]) -> tuple[Array, Array]:
    """var returned float64, expected an array"""
    rows = _all(tiles)
    return rows.mean(), rows.var()


def wrong_3_2_last_tile(tiles: Iterable[Array]) -> tuple[Array, Array]:
    """the variance of the last tile alone"""
    for tile in tiles:
        mean, var = tile.mean(0), tile.var(0)
    return mean, var


def wrong_3_2_read_twice(tiles: Iterable[Array]) -> tuple[Array, Array]:
    """a generator yields each tile once"""
    rows = _all(tiles)
    squares = sum(((tile - rows.mean(0)) ** 2).sum(0) for tile in tiles)  # there are none left
    return rows.mean(0), np.zeros(3) + squares / len(rows)


def _layer_norm(scale: Any, level: float = 1, tilt: float = 1, sums: bool = False) -> Any:
    """An answer to 3.3 with this factor in the place of 1 / sqrt(v + eps)."""

    def answer(x: Array, gy: Array, eps: float) -> Array:
        inv = scale(x, eps)
        xhat = (x - x.mean(-1, keepdims=True)) * inv
        mean = np.sum if sums else np.mean
        plane = mean(gy, axis=-1, keepdims=True)
        slope = mean(gy * xhat, axis=-1, keepdims=True)
        return inv * (gy - level * plane - tilt * xhat * slope)

    return answer


def _inv(x: Array, eps: float) -> Array:
    return 1 / np.sqrt(x.var(-1, keepdims=True) + eps)


wrong_3_3_mean_constant = told("forgets that the mean moves", _layer_norm(_inv, level=0))
wrong_3_3_added = told("adds what the moments take away", _layer_norm(_inv, -1, -1))
wrong_3_3_sums = told("has sums where means belong", _layer_norm(_inv, sums=True))
wrong_3_3_without_eps = told(
    "forgets eps", _layer_norm(lambda x, eps: 1 / np.sqrt(x.var(-1, keepdims=True)))
)
wrong_3_3_unbiased = told(
    "takes the unbiased variance",
    _layer_norm(lambda x, eps: 1 / np.sqrt(x.var(-1, ddof=1, keepdims=True) + eps)),
)
wrong_3_3_forward = told(
    "is layer norm itself, not its gradient",
    lambda x, gy, eps: (x - x.mean(-1, keepdims=True)) * _inv(x, eps),
)
wrong_3_3_sign = told("-1 times as large", lambda x, gy, eps: -_layer_norm(_inv)(x, gy, eps))
wrong_3_3_no_factor = told(
    "forgets the factor",
    lambda x, gy, eps: _layer_norm(_inv)(x, gy, eps) / _inv(x, eps),
)
