"""Grids of kernels over rows: blocks of some channels by some rows, see ``rows.cuh``."""

from .launch import blocks

THREADS = 256
SHARED_DOUBLE = 8 * THREADS  # bytes of one double for each thread, which a reduction shares
_ROWS_PER_THREAD = 16
_MOST_BLOCKS = 512  # along the rows: the second pass of a sum has as many parts


def block_of(c: int) -> tuple[int, int]:
    """Channels and rows of a block for ``c`` channels: a warp reads 32 neighbours in memory."""
    channels = min(32, 1 << (c - 1).bit_length())
    return channels, THREADS // channels


def grid_of(m: int, c: int, rows_per_thread: int = _ROWS_PER_THREAD) -> tuple[int, int]:
    """The blocks for ``m`` rows of ``c`` channels."""
    channels, rows = block_of(c)
    return blocks(c, channels), blocks(m, rows * rows_per_thread, _MOST_BLOCKS)
