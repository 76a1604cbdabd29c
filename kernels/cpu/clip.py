"""Gradient clipping in NumPy; see `minispiral.kernels.clip`."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import parallel

Array = NDArray[Any]
Table = list[tuple[Array, Array]]


def table(gs: Sequence[Array], clipped: Sequence[Array], before: Table | None) -> Table:
    """Each gradient and its copy."""
    return list(zip(gs, clipped, strict=True))


def clip(table: Table, most: float) -> None:
    """The table is empty afterwards, so that it keeps no gradient alive."""
    norm = math.sqrt(sum(_square_sum(g) for g, _ in table))
    factor = most / (norm if norm > most else most)
    for g, copy in table:
        np.multiply(g, g.dtype.type(factor), out=copy)
    table.clear()


def _square_sum(g: Array) -> float:
    flat = np.ascontiguousarray(g).reshape(-1)

    def work(tile: slice) -> float:
        squares = parallel.scratch(flat[tile].shape, np.float64)
        return float(np.square(flat[tile], out=squares, dtype=np.float64).sum())

    return sum(parallel.run(work, parallel.row_tiles(flat.size)))
