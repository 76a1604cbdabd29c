"""The losses of Section 3: logits and a mask to one number, and the gradient back.

Each takes logits ``(n, h, w, 1)`` and a boolean mask of the same shape, True on crack (the
paper's l = 1), with sums over the whole mini-batch.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.kernels import losses as kernels
from minispiral.tensor import Function, Tensor

Array = NDArray[Any]
Mask = NDArray[np.bool_]


class F1Loss(Function):
    """``L = -log F1`` (Eq. 6) with its true gradient, Eq. 8."""

    def __init__(self, mask: Mask) -> None:
        self.mask = mask

    def forward(self, logits: Array) -> Any:
        self.logits = logits
        self.sums = kernels.f1_sums(logits, self.mask)
        return kernels.f1_loss(self.sums).astype(logits.dtype)

    def backward(self, gy: Array) -> Array:
        return kernels.f1_grad(self.logits, self.mask, self.sums) * gy


class PseudoF1(F1Loss):
    """``-log F1`` forward, the pseudo-gradient of Eq. 11 backward."""

    exact = False

    def backward(self, gy: Array) -> Array:
        return kernels.pseudo_f1_grad(self.logits, self.mask, self.sums) * gy


class CrossEntropy(Function):
    """Eq. 10 divided by the number of pixels (footnote 1)."""

    def __init__(self, mask: Mask) -> None:
        self.mask = mask

    def forward(self, logits: Array) -> Any:
        self.logits = logits
        return kernels.cross_entropy(logits, self.mask).astype(logits.dtype)

    def backward(self, gy: Array) -> Array:
        return kernels.cross_entropy_grad(self.logits, self.mask) * gy


def f1_loss(logits: Tensor, mask: Mask) -> Tensor:
    """``-log F1`` and its gradient (Eq. 8), which vanishes where sigma is near 0 or 1.

    Infinite for a batch without crack pixels; its gradient is finite all the same.
    """
    return F1Loss(mask)(logits)


def pseudo_f1(logits: Tensor, mask: Mask) -> Tensor:
    """``-log F1`` in value, Eq. 11 in gradient: |dL/dsigma| times cross-entropy's gradient.

    Infinite for a batch without crack pixels; the others still get their gradient.
    """
    return PseudoF1(mask)(logits)


def cross_entropy(logits: Tensor, mask: Mask) -> Tensor:
    """The mean of ``-log p(label)`` over all pixels (Eq. 10, footnote 1)."""
    return CrossEntropy(mask)(logits)


LOSSES: dict[str, Callable[[Tensor, Mask], Tensor]] = {
    "pseudo-f1": pseudo_f1,
    "f1": f1_loss,
    "cross-entropy": cross_entropy,
}
