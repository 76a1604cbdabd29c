"""Losses over all pixels of a batch and their gradients; `LOSSES` has the formulas of each.

``logits`` and ``mask`` are of one shape, the mask True on crack (the paper's l = 1). Sums are taken
in float64 whatever the dtype of the logits, in a fixed order. On the GPU the three sums are one
array ``(3,)`` and the value is an array without axes, so that nothing waits for the GPU. Where
processes share the batch (`minispiral.kernels.collective`) the sums are those of all its pixels.
"""

from typing import Any

from . import collective
from .arrays import on_gpu
from .cpu import losses as cpu
from .cuda import losses as cuda
from .loss_table import (
    F1,
    LOSSES,
    Balanced,
    CrossEntropy,
    Focal,
    Linear,
    Loss,
    Parameter,
    PseudoF1,
)
from .shapes import check_mask

__all__ = [
    "F1",
    "LOSSES",
    "Balanced",
    "CrossEntropy",
    "Focal",
    "Linear",
    "Loss",
    "Parameter",
    "PseudoF1",
    "gradient",
    "pixels",
    "sums",
    "value",
]

Array = Any  # NumPy's or the GPU's
Sums = Any  # a tuple, or an array of the GPU


def sums(loss: Loss, logits: Array, mask: Array) -> Sums:
    """The three sums that a loss needs of a batch; `PixelLoss` and `OverlapLoss` say which.

    ValueError where the mask is not boolean or of another shape.
    """
    check_mask(logits, mask)
    twin = cuda if on_gpu(logits) else cpu
    return twin.sums(loss, logits, mask)


def pixels(logits: Array) -> int:
    """``n``, the number of pixels of the batch."""
    return collective.whole_size(logits)


def value(loss: Loss, sums: Sums, n: int) -> Array:
    """The loss of a batch of ``n`` pixels with these sums; without axes, float64."""
    return cuda.value(loss, sums, n) if on_gpu(sums) else loss.value(sums, n)


def gradient(loss: Loss, logits: Array, mask: Array, sums: Sums) -> Array:
    """What the loss hands back to its logits, in their shape and dtype.

    ``-w_pos * slope(-x)`` on crack and ``w_neg * slope(x)`` elsewhere, for logits ``x``.
    ValueError where the mask is not boolean or of another shape.
    """
    check_mask(logits, mask)
    twin = cuda if on_gpu(logits) else cpu
    return twin.gradient(loss, logits, mask, sums, pixels(logits))
