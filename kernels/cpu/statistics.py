"""Totals of a training run in NumPy; see `minispiral.kernels.statistics`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import collective

Array = NDArray[Any]


def add_batch(totals: Array, loss: Array, logits: Array, mask: Array) -> None:
    detected = logits >= 0  # probability >= 0.5
    counts = np.array([np.count_nonzero(pixels) for pixels in (mask, detected, detected & mask)])
    crack, detections, correct = np.add.reduce(collective.gather(counts), 0)
    finite = bool(np.isfinite(loss))
    totals += (
        loss if finite else 0,
        finite,
        crack,
        detections,
        correct,
        crack == 0,
        bool(np.isnan(loss)),
    )
