"""Split-K: long sums are shared among blocks where an output has too few tiles for a large GPU.

Each block leaves a part of the sums in memory, and a second kernel adds the parts in their order:
the result has the same bits each time, which atomic additions would not give.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from .epilogues import EpilogueArguments
from .launch import Array, empty, launch
from .rows import SHARED_DOUBLE, block_of, grid_of
from .sum_parts import sum_parts
from .table import declare

declare("split_k.cu", "finish_parts", shared=3 * SHARED_DOUBLE, registers=48)

FULL = 256  # blocks that keep a large GPU busy
_FEWEST_STEPS = 8  # of a block's sums, for it to be worth its launch

# An H100, for which work is divided; whatever the GPU, results have the same bits.
SMS = 132
_BYTES = 1700  # of memory that all SMs move in a clock
_SECOND_PASS = 3000  # clocks that it takes to start


class Block(NamedTuple):
    """A block that computes a tile of the result."""

    resident: int  # so many run on an SM together
    step: float  # clocks that a step takes of an SM
    fixed: float  # clocks that all else takes
    tile: int  # bytes of the tile


def parts(tiles: int, steps: int, block: Block | None = None) -> int:
    """Into how many parts sums of so many steps are split.

    So many that a large GPU is busy; where it is known what a block takes, that they take least
    time.
    """
    most = max(1, min(FULL // max(tiles, 1), steps // _FEWEST_STEPS))
    if block is None:
        return most
    most = max(1, min(2 * SMS * block.resident // max(tiles, 1), steps // _FEWEST_STEPS))
    return min(range(1, most + 1), key=lambda count: clocks(tiles, steps, count, block))


def clocks(tiles: int, steps: float, count: int, block: Block) -> float:
    """About how long it takes if sums are split into ``count`` parts.

    Blocks run in waves of as many as fit; each part is written and read again.
    """
    full, rest = divmod(tiles * count, SMS * block.resident)
    at_a_time = full * block.resident + math.ceil(rest / SMS)
    second = 0 if count == 1 else _SECOND_PASS + 2 * count * tiles * block.tile / _BYTES
    return at_a_time * (math.ceil(steps / count) * block.step + block.fixed) + second


def launch_with_epilogue(
    expression: str,
    tiles: tuple[int, int],
    count: int,
    operands: tuple[Any, ...],
    out: Array,
    epilogue: EpilogueArguments,
) -> None:
    """Run a kernel on ``tiles`` of pixels and channels, whose sums are split into ``count``."""
    if count == 1:
        launch(expression, (*tiles, 1), *operands, out, *epilogue.with_sums(tiles[0]))
        return
    sums = empty((count, out.size), out.dtype)
    no_epilogue = EpilogueArguments(None, out).with_sums(0)
    launch(expression, (*tiles, count), *operands, sums, *no_epilogue)
    c = out.shape[-1]
    m = out.size // c
    grid, sizes = grid_of(m, c, rows_per_thread=1), map(np.int32, (count, m, c))
    arguments = epilogue.with_sums(grid[1])
    launch("finish_parts", grid, sums, *sizes, out, *arguments, block=block_of(c))


def launch_in_parts(
    expression: str, tiles: tuple[int, ...], count: int, operands: tuple[Any, ...], out: Array
) -> None:
    """Run a kernel whose sums are split into ``count`` parts, and add these up in ``out``."""
    sums = out if count == 1 else empty((count, out.size), out.dtype)
    launch(expression, (*tiles, count), *operands, sums)
    if count > 1:
        sum_parts(sums, out)
