"""Totals of a training run in NumPy; see `minispiral.kernels.statistics`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def add_batch(totals: Array, loss: Array, logits: Array, mask: Array) -> None:
    detected = logits >= 0  # probability >= 0.5
    crack = np.count_nonzero(mask)
    finite = bool(np.isfinite(loss))
    totals += (
        loss if finite else 0,
        finite,
        crack,
        np.count_nonzero(detected),
        np.count_nonzero(detected & mask),
        crack == 0,
        bool(np.isnan(loss)),
    )
