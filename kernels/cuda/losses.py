"""Losses on the GPU; the formulas are in `minispiral.kernels.loss_table`.

What is a number on the CPU is an array without axes here, and the three sums are one array, all of
them float64.
"""

from dataclasses import astuple
from typing import Any

import numpy as np

from .. import collective
from ..loss_table import LOSSES, Loss
from .launch import Array, blocks, ctype, empty, launch
from .rows import SHARED_DOUBLE, THREADS, grid_of
from .table import declare

for loss in LOSSES.values():
    for t, registers in (("float", 48), ("double", 64)):
        declare(
            "losses.cu",
            f"block_sums<{t}, {loss.__name__}>",
            shared=3 * SHARED_DOUBLE,
            registers=registers,
        )
        declare("losses.cu", f"loss_gradient<{t}, {loss.__name__}>", registers=registers)
    declare("losses.cu", f"loss_value<{loss.__name__}>", threads=1)
declare("losses.cu", "merge_sums", shared=3 * SHARED_DOUBLE)

_PIXELS_PER_THREAD = 4


def sums(loss: Loss, logits: Array, mask: Array) -> Array:
    """The sums over all pixels, ``(3,)``: those of the blocks, and then of the processes."""
    grid, block = grid_of(logits.size, 1), (1, THREADS)
    parts = empty((grid[1], 3), np.float64)
    name = f"block_sums<{ctype(logits.dtype)}, {type(loss).__name__}>"
    launch(name, grid, logits, mask, np.int32(logits.size), _struct(loss), parts, block=block)
    sums = _added(parts)
    return _added(collective.gather(sums)) if collective.is_shared() else sums


def _added(parts: Array) -> Array:
    """The sum of sums ``(parts, 3)``."""
    sums = empty((3,), np.float64)
    launch("merge_sums", (1,), parts, np.int32(len(parts)), sums, block=(1, THREADS))
    return sums


def value(loss: Loss, sums: Array, n: int) -> Array:
    """The loss of ``n`` pixels, from their sums."""
    value = empty((), np.float64)
    launch(f"loss_value<{type(loss).__name__}>", (1,), sums, np.int32(n), _struct(loss), value)
    return value


def gradient(loss: Loss, logits: Array, mask: Array, sums: Array, n: int) -> Array:
    """``-w_pos * slope(-x)`` on crack, ``w_neg * slope(x)`` elsewhere, in a batch of ``n``."""
    g = empty(logits.shape, logits.dtype)
    grid = (blocks(logits.size, THREADS * _PIXELS_PER_THREAD),)
    name = f"loss_gradient<{ctype(logits.dtype)}, {type(loss).__name__}>"
    sizes = np.int32(logits.size), np.int32(n)
    launch(name, grid, logits, mask, *sizes, sums, _struct(loss), g)
    return g


def _struct(loss: Loss) -> Any:
    """The loss as the kernels take it: its parameters, or the one byte of an empty struct."""
    if not loss.parameters():
        return np.zeros((), [("", np.uint8)])
    return np.array(astuple(loss), [(name, np.float64) for name in loss.parameters()])
