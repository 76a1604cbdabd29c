"""Split-K: long sums are shared among blocks where an output has too few tiles for a large GPU.

Each block leaves a part of the sums in memory, and a second kernel adds the parts in their order:
the result has the same bits each time, which atomic additions would not give.
"""

import math
from typing import Any

import numpy as np

from .epilogues import EpilogueArguments
from .launch import Array, blocks, ctype, empty, launch
from .rows import SHARED_DOUBLE, block_of, grid_of
from .table import declare

declare("split_k.cu", "finish_parts", shared=3 * SHARED_DOUBLE, registers=48)
for t, registers in (("float", 40), ("double", 48)):
    declare("split_k.cu", f"sum_parts<{t}>", registers=registers)

FULL = 256  # blocks that keep a large GPU busy
_FEWEST_STEPS = 8  # of a block's sums, for it to be worth its launch
_THREADS = 256


def parts(tiles: int, steps: int) -> int:
    """Into how many parts sums of so many steps are split."""
    return max(1, min(FULL // max(tiles, 1), steps // _FEWEST_STEPS))


def launch_with_epilogue(
    expression: str,
    tiles: tuple[int, int],
    steps: int,
    operands: tuple[Any, ...],
    out: Array,
    epilogue: EpilogueArguments,
) -> None:
    """Run a kernel on ``tiles`` of pixels and channels; its sums are split where tiles are few."""
    count = parts(math.prod(tiles), steps)
    if count == 1:
        launch(expression, (*tiles, 1), *operands, out, *epilogue.with_moments(tiles[0]))
        return
    sums = empty((count, out.size), out.dtype)
    no_epilogue = EpilogueArguments(None, out).with_moments(0)
    launch(expression, (*tiles, count), *operands, sums, *no_epilogue)
    c = out.shape[-1]
    m = out.size // c
    grid, sizes = grid_of(m, c, rows_per_thread=1), map(np.int32, (count, m, c))
    arguments = epilogue.with_moments(grid[1])
    launch("finish_parts", grid, sums, *sizes, out, *arguments, block=block_of(c))


def launch_in_parts(
    expression: str, tiles: tuple[int, ...], count: int, operands: tuple[Any, ...], out: Array
) -> None:
    """Run a kernel whose sums are split into ``count`` parts, and add these up in ``out``."""
    sums = out if count == 1 else empty((count, out.size), out.dtype)
    launch(expression, (*tiles, count), *operands, sums)
    if count > 1:
        size = np.int32(out.size)
        grid = (blocks(out.size, _THREADS),)
        launch(f"sum_parts<{ctype(out.dtype)}>", grid, sums, np.int32(count), size, out)
