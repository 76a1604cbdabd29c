"""Tiles on the GPU, a launch for each; see `minispiral.kernels.tiles`.

Tiles that overlap are thus added one after the other, in their order.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from .launch import Array, blocks, ctype, empty, launch
from .rows import THREADS
from .table import declare

for t, registers in (("float", 40), ("double", 48)):
    for name in ("cut_tile", "blend_tile"):
        declare("tiles.cu", f"{name}<{t}>", registers=registers)


def cut(
    photo: Array, corners: Sequence[tuple[int, int]], hw: tuple[int, int], dtype: DTypeLike
) -> Array:
    y = empty((len(corners), *hw, 3), dtype)
    for tile, corner in zip(y, corners, strict=True):
        sizes = map(np.int32, (*photo.shape[:2], *corner, *hw))
        launch(f"cut_tile<{ctype(dtype)}>", _grid(hw), photo, *sizes, tile)
    return y


def blank(photo: Array, dtype: DTypeLike) -> Array:
    y = empty(photo.shape[:2], dtype)
    y[...] = 0
    return y


def blend(
    total: Array,
    logits: Array,
    corners: Sequence[tuple[int, int]],
    weights: Sequence[tuple[Array, Array]],
) -> None:
    hw = logits.shape[1:3]
    for tile, corner, (rows, columns) in zip(logits, corners, weights, strict=True):
        sizes = map(np.int32, (*hw, *corner, *total.shape))
        t = ctype(total.dtype)
        launch(f"blend_tile<{t}>", _grid(hw), tile, rows, columns, *sizes, total)


def _grid(hw: tuple[int, int]) -> tuple[int]:
    return (blocks(hw[0] * hw[1], THREADS),)
