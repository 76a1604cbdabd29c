"""Gradient clipping on the GPU, three launches for all; see `minispiral.kernels.clip`."""

from collections.abc import Sequence

import numpy as np

from . import shares
from .launch import Array, empty, launch
from .rows import SHARED_DOUBLE, THREADS
from .table import declare

for t, registers in (("float", 40), ("double", 48)):
    declare("clip.cu", f"square_sums<{t}>", shared=SHARED_DOUBLE, registers=registers)
    declare("clip.cu", f"scaled<{t}>", registers=registers)
declare("clip.cu", "clip_factor", shared=SHARED_DOUBLE)


def table(
    gs: Sequence[Array], clipped: Sequence[Array], before: shares.Table | None
) -> shares.Table:
    """Where each gradient and its copy lie; see `shares.table`."""
    return shares.table((gs, clipped), before)


def clip(table: shares.Table, most: float) -> None:
    t, grid, block = table.ctype, table.owner.shape, (1, THREADS)
    arrays = table.rows, table.owner, np.int32(shares.SHARE)
    sums, factor = empty((*grid, 1), np.float64), empty((), np.float64)
    launch(f"square_sums<{t}>", grid, *arrays, sums, block=block)
    launch("clip_factor", (1,), sums, np.int32(len(sums)), np.float64(most), factor, block=block)
    launch(f"scaled<{t}>", grid, *arrays, factor)
