"""Totals of a training run on the GPU, in two passes; see `minispiral.kernels.statistics`."""

import numpy as np

from .. import collective
from .launch import Array, ctype, empty, launch
from .rows import SHARED_DOUBLE, THREADS, grid_of
from .table import declare

for t, registers in (("float", 48), ("double", 64)):
    for name in ("block_counts", "add_batch"):
        declare("statistics.cu", f"{name}<{t}>", shared=3 * SHARED_DOUBLE, registers=registers)
declare("statistics.cu", "merge_counts", shared=3 * SHARED_DOUBLE, registers=48)


def add_batch(totals: Array, loss: Array, logits: Array, mask: Array) -> None:
    t, n = ctype(logits.dtype), logits.size
    grid, block = grid_of(n, 1), (1, THREADS)
    parts = empty((grid[1], 3), np.float64)
    launch(f"block_counts<{t}>", grid, logits, mask, np.int32(n), parts, block=block)
    if collective.is_shared():
        own = empty((3,), np.float64)
        launch("merge_counts", (1,), parts, np.int32(grid[1]), own, block=block)
        parts = collective.gather(own)
    launch(f"add_batch<{t}>", (1,), parts, np.int32(len(parts)), loss, totals, block=block)
