"""The logistic function and its integral, element by element and without overflow.

Both take a complex ``x`` too, whose real part decides; complex steps need that.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def sigmoid(x: Array, out: Array | None = None) -> Array:
    """``1 / (1 + exp(-x))``; ``1 - sigmoid(x)`` is ``sigmoid(-x)``, without cancellation."""
    e = _exp_minus_abs(x)
    numerator = np.where(x >= 0, x.dtype.type(1), e)
    e += 1
    y: Array = np.divide(numerator, e, out=numerator if out is None else out)
    return y


def softplus(x: Array) -> Array:
    """``log(1 + exp(x))``, which is ``-log(sigmoid(-x))``."""
    y: Array = np.maximum(x, 0) + np.log1p(_exp_minus_abs(x))
    return y


def _exp_minus_abs(x: Array) -> Array:
    e = np.where(x >= 0, -x, x)
    np.exp(e, out=e)
    return e
