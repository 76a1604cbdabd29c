"""Sums over the batches of a training run, in the GPU's memory."""

import numpy as np

from ..shapes import check_mask
from .launch import Array, ctype, empty, launch
from .rows import SHARED_DOUBLE, THREADS, grid_of
from .table import declare

for t, registers in (("float", 48), ("double", 64)):
    for name in ("block_counts", "add_batch"):
        declare("statistics.cu", f"{name}<{t}>", shared=3 * SHARED_DOUBLE, registers=registers)

# What the totals are, in their order.
TOTALS = (
    "loss_sum",
    "finite_losses",
    "crack",
    "detected",
    "correct",
    "batches_without_crack",
    "nan_losses",
)


def add_batch(totals: Array, loss: Array, logits: Array, mask: Array) -> None:
    """Add to the ``totals (7,)``, float64, a batch with its loss, an array without axes."""
    check_mask(logits, mask)
    t, n = ctype(logits.dtype), logits.size
    grid, block = grid_of(n, 1), (1, THREADS)
    parts = empty((grid[1], 3), np.float64)
    launch(f"block_counts<{t}>", grid, logits, mask, np.int32(n), parts, block=block)
    launch(f"add_batch<{t}>", (1,), parts, np.int32(grid[1]), loss, totals, block=block)
