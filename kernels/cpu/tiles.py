"""Tiles in NumPy; see `minispiral.kernels.tiles`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import arithmetic, layout

Array = NDArray[Any]


def cut(
    photo: Array, corners: Sequence[tuple[int, int]], hw: tuple[int, int], dtype: DTypeLike
) -> Array:
    h, w = photo.shape[:2]
    grids = [np.ix_(reflected(i, hw[0], h), reflected(j, hw[1], w)) for i, j in corners]
    return layout.scale_pixels(np.stack([photo[grid] for grid in grids]), dtype)


def blank(photo: Array, dtype: DTypeLike) -> Array:
    return np.zeros(photo.shape[:2], dtype)


def blend(
    total: Array,
    logits: Array,
    corners: Sequence[tuple[int, int]],
    weights: Sequence[tuple[Array, Array]],
) -> None:
    probabilities = arithmetic.sigmoid(logits)[..., 0]
    for tile, (top, left), (rows, columns) in zip(probabilities, corners, weights, strict=True):
        on_map_i, in_tile_i = inside(top, len(rows), total.shape[0])
        on_map_j, in_tile_j = inside(left, len(columns), total.shape[1])
        weight = np.outer(rows[in_tile_i], columns[in_tile_j])
        total[on_map_i, on_map_j] += weight * tile[in_tile_i, in_tile_j]


def reflected(start: int, side: int, length: int) -> NDArray[np.intp]:
    """The pixel of ``length`` that lies at each of ``side`` places from ``start`` on."""
    period = max(2 * (length - 1), 1)
    place = np.arange(start, start + side) % period
    return np.minimum(place, period - place) if length > 1 else np.zeros_like(place)


def inside(start: int, side: int, length: int) -> tuple[slice, slice]:
    """The places that lie on the ``length`` pixels, as a slice of these and one of the places."""
    low, high = (min(max(place, 0), length) for place in (start, start + side))
    return slice(low, high), slice(low - start, high - start)
