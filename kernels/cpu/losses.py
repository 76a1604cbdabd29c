"""Losses on the CPU, tile by tile; the formulas are in `minispiral.kernels.loss_table`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import collective
from ..loss_table import Loss, Sums
from . import parallel

Array = NDArray[Any]
Mask = NDArray[np.bool_]


def sums(loss: Loss, logits: Array, mask: Mask) -> Sums:
    """The sums over all pixels: those of the tiles, and then of the processes, in order."""
    x, crack = logits.reshape(-1), mask.reshape(-1)
    tiles = parallel.row_tiles(x.size)
    parts = parallel.run(lambda tile: loss.sums(x[tile], crack[tile]), tiles)
    own = np.add.reduce(parts, 0)
    n_pos, first, second = np.add.reduce(collective.gather(own), 0)
    return n_pos.real, first, second  # a count, even of complex logits


def gradient(loss: Loss, logits: Array, mask: Mask, sums: Sums, n: int) -> Array:
    """``-w_pos * slope(-x)`` on crack, ``w_neg * slope(x)`` elsewhere, in a batch of ``n``."""
    w_pos, w_neg = map(logits.dtype.type, loss.weights(sums, n))
    x, crack = logits.reshape(-1), mask.reshape(-1)
    g = parallel.empty(logits.shape, logits.dtype)
    out = g.reshape(-1)

    def work(tile: slice) -> None:
        hits = crack[tile]
        slope = loss.slope(np.where(hits, -x[tile], x[tile]))
        np.multiply(slope, np.where(hits, -w_pos, w_neg), out=out[tile])

    parallel.run(work, parallel.row_tiles(x.size))
    return g
