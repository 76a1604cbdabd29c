"""Arguments of kernels: grids over rows, blocks of some channels by some rows, see ``rows.cuh``."""

from collections.abc import Sequence

from .launch import Array, blocks, empty, gpu

THREADS = 256
SHARED_DOUBLE = 8 * THREADS  # bytes of one double for each thread, which a reduction shares
_ROWS_PER_THREAD = 16
_MOST_PARTS = 512  # of a sum over rows, for its second pass
FEW_PARTS = 64  # which blocks merge that have other work too
BATCH = 4  # parts that a thread of that pass loads at a time; also in rows.cuh


MOST_ARRAYS = 8  # that a kernel takes where their number varies


def padded(arrays: Sequence[Array]) -> tuple[Array, ...]:
    """As many arrays as such a kernel takes, the last ones empty."""
    missing = MOST_ARRAYS - len(arrays)
    return *arrays, *[empty((0,), arrays[0].dtype)] * missing


def block_of(c: int) -> tuple[int, int]:
    """Channels and rows of a block for ``c`` channels: a warp reads 32 neighbours in memory."""
    channels = min(32, 1 << (c - 1).bit_length())
    return channels, THREADS // channels


def grid_of(
    m: int, c: int, rows_per_thread: int = _ROWS_PER_THREAD, most: int = _MOST_PARTS
) -> tuple[int, int]:
    """The blocks for ``m`` rows of ``c`` channels, at most so many along the rows."""
    channels, rows = block_of(c)
    return blocks(c, channels), blocks(m, rows * rows_per_thread, most)


def merging(parts: int, c: int) -> tuple[tuple[int], tuple[int, int]]:
    """Grid and block of the second pass: as many rows as leave each thread a batch of parts.

    Few parts are merged by blocks of the common shape: in the same order whoever merges them.
    """
    channels, rows = block_of(c)
    if parts > FEW_PARTS:
        rows = min(THREADS, 1 << (blocks(parts, BATCH) - 1).bit_length())
        channels = THREADS // rows
    return (blocks(c, channels),), (channels, rows)


def adjacent(*arrays: Array) -> int:
    """How many channels of the arrays ``(..., c)`` a thread takes at once: 16 bytes, or one."""
    count: int = 16 // arrays[0].itemsize
    fit = all(array.shape[-1] % count == 0 and gpu().address(array) % 16 == 0 for array in arrays)
    return count if fit else 1
