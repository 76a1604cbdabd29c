"""Typical wrong answers to the exercises of chapter 3.

Each docstring is a regular expression that the refusal must match.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def wrong_3_1_mean_forgotten(
    w: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: float, transpose: bool
) -> tuple[Array, Array]:
    """what the mean takes away"""
    a = gamma / np.sqrt(var + eps)
    return w * (a[:, None] if transpose else a), beta


def wrong_3_1_eps_forgotten(
    w: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: float, transpose: bool
) -> tuple[Array, Array]:
    """axis 'small' of w counts the output channels"""
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
