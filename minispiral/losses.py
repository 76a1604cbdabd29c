"""The losses of Section 3 and their rivals of Section 4.4: to one number, and the gradient back.

Each takes logits ``(n, h, w, 1)`` and a boolean mask of the same shape, True on crack (the
paper's l = 1), with sums over the whole mini-batch.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.kernels.dispatch import arithmetic, like
from minispiral.kernels.dispatch import losses as kernels
from minispiral.tensor import Function, Tensor

Array = NDArray[Any]
Mask = NDArray[np.bool_]


class F1Loss(Function):
    """``L = -log F1`` (Eq. 6) with its true gradient, Eq. 8."""

    profiled_as = "loss"

    def __init__(self, mask: Mask) -> None:
        self.mask = mask

    def forward(self, logits: Array) -> Any:
        self.logits, self.mask = logits, like(self.mask, logits)
        self.sums = kernels.f1_sums(logits, self.mask)
        return arithmetic.astype(kernels.f1_loss(self.sums), logits.dtype)

    def backward(self, gy: Array) -> Any:
        return arithmetic.multiply(kernels.f1_grad(self.logits, self.mask, self.sums), gy)


class PseudoF1(F1Loss):
    """``-log F1`` forward, the pseudo-gradient of Eq. 11 backward."""

    exact = False

    def backward(self, gy: Array) -> Any:
        return arithmetic.multiply(kernels.pseudo_f1_grad(self.logits, self.mask, self.sums), gy)


class PixelLoss(Function):
    """A weighted mean of one term for each pixel; ``parameters`` go to both kernels."""

    profiled_as = "loss"

    value: Callable[..., Any]
    gradient: Callable[..., Array]

    def __init__(self, mask: Mask, *parameters: float) -> None:
        self.mask, self.parameters = mask, parameters

    def forward(self, logits: Array) -> Any:
        self.logits, self.mask = logits, like(self.mask, logits)
        return arithmetic.astype(self.value(logits, self.mask, *self.parameters), logits.dtype)

    def backward(self, gy: Array) -> Any:
        return arithmetic.multiply(self.gradient(self.logits, self.mask, *self.parameters), gy)


class CrossEntropy(PixelLoss):
    """Eq. 10 divided by the number of pixels (footnote 1)."""

    value = staticmethod(kernels.cross_entropy)
    gradient = staticmethod(kernels.cross_entropy_grad)


class Balanced(PixelLoss):
    """Eq. 10 with each class divided by its number of pixels (Section 4.4)."""

    value = staticmethod(kernels.balanced)
    gradient = staticmethod(kernels.balanced_grad)


class Focal(PixelLoss):
    """Eq. 10 with less weight on what is right already (Section 4.4)."""

    value = staticmethod(kernels.focal)
    gradient = staticmethod(kernels.focal_grad)


class Linear(PixelLoss):
    """Eq. 9 divided by the number of pixels (footnote 1)."""

    value = staticmethod(kernels.linear)
    gradient = staticmethod(kernels.linear_grad)


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


def balanced(logits: Tensor, mask: Mask) -> Tensor:
    """Cross-entropy by inverse class frequency: the mean over crack plus the mean elsewhere."""
    return Balanced(mask)(logits)


def focal(logits: Tensor, mask: Mask, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """The mean of ``-a * (1 - p)**gamma * log(p)``, ``p`` the probability of the true label.

    ``a`` is ``alpha`` on crack and ``1 - alpha`` elsewhere (Lin et al. 2017). ``gamma = 0`` and
    ``alpha = 0.5`` make half of cross-entropy.
    """
    return Focal(mask, alpha, gamma)(logits)


def linear(logits: Tensor, mask: Mask) -> Tensor:
    """Minus the mean probability of the true label (Eq. 9, footnote 1)."""
    return Linear(mask)(logits)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "pseudo-f1": pseudo_f1,
    "f1": f1_loss,
    "cross-entropy": cross_entropy,
    "balanced": balanced,
    "focal": focal,
    "linear": linear,
}
