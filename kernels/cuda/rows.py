"""How kernels over rows are launched: blocks of some channels by some rows, see ``rows.cuh``."""

from .launch import blocks

THREADS = 256
_ROWS_PER_THREAD = 16
_MOST_BLOCKS = 512  # along the rows; as many parts has a sum in its second pass


def block_of(c: int) -> tuple[int, int]:
    """Channels and rows of a block for ``c`` channels: a warp reads 32 neighbours in memory."""
    channels = min(32, 1 << (c - 1).bit_length())
    return channels, THREADS // channels


def grid_of(m: int, c: int, rows_per_thread: int = _ROWS_PER_THREAD) -> tuple[int, int]:
    """The blocks for ``m`` rows of ``c`` channels."""
    channels, rows = block_of(c)
    return blocks(c, channels), blocks(m, rows * rows_per_thread, _MOST_BLOCKS)
