"""Overlapping tiles of a photograph: cut out for a network, and its answers blended into a map.

The corner of a tile is its top row and its left column, in pixels of the photograph. Tiles may
reach beyond the photograph.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .arrays import on_gpu
from .cpu import tiles as cpu
from .cuda import tiles as cuda

Array = Any  # NumPy's or the GPU's
Corner = tuple[int, int]


def cut(
    photo: Array, corners: Sequence[Corner], hw: tuple[int, int], dtype: DTypeLike = np.float32
) -> Array:
    """Tiles ``(n, *hw, 3)`` of a photograph ``(h, w, 3)`` uint8, as networks take them.

    Pixels become -1 to 1 as in `minispiral.kernels.layout.scale_pixels`. Beyond an edge the
    photograph is reflected, without repeating the edge: row -1 is row 1, row h is row h - 2.
    ValueError for anything that is not a photograph.
    """
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != "uint8" or photo.size == 0:
        raise ValueError(f"expected pixels (h, w, 3) of uint8, got {photo.dtype} {photo.shape}")
    twin = cuda if on_gpu(photo) else cpu
    return twin.cut(photo, corners, hw, dtype)


def blank(photo: Array, dtype: DTypeLike = np.float32) -> Array:
    """A map of zeros ``(h, w)`` for a photograph ``(h, w, 3)``, where that lies."""
    twin = cuda if on_gpu(photo) else cpu
    return twin.blank(photo, dtype)


def blend(
    total: Array,
    logits: Array,
    corners: Sequence[Corner],
    weights: Sequence[tuple[Array, Array]],
) -> None:
    """Add the probabilities of tiles to a map ``(h, w)``, in place, one tile after the other::

        total[top + i, left + j] += rows[i] * columns[j] * sigmoid(logits[k, i, j, 0])

    for all pixels of tile k that lie on the map. ``logits`` are ``(n, th, tw, 1)``; each tile has
    its ``weights``, those of its rows ``(th,)`` and those of its columns ``(tw,)``. All arrays
    have one dtype; ValueError for other shapes or dtypes.
    """
    n, th, tw, _ = logits.shape
    expected = [(total.shape, (*logits.shape[:3], 1))] + [((th,), (tw,))] * n
    given = [(total.shape, logits.shape), *((rows.shape, cols.shape) for rows, cols in weights)]
    dtypes = {array.dtype for array in (total, logits, *(one for pair in weights for one in pair))}
    if total.ndim != 2 or given != expected or len(corners) != n or len(dtypes) > 1:
        raise ValueError(
            f"expected a map (h, w), logits (n, th, tw, 1) and n corners and pairs of weights "
            f"((th,), (tw,)) of one dtype, got {given}, {len(corners)} corners and {dtypes}"
        )
    twin = cuda if on_gpu(total) else cpu
    twin.blend(total, logits, corners, weights)
