"""The losses of Section 3 and their rivals of Section 4.4: to one number, and the gradient back.

Each takes logits ``x`` of shape ``(n, h, w, 1)`` and a boolean mask of the same shape, True on
crack (the paper's l = 1). Sums are over the whole mini-batch::

    sigma = 1 / (1 + exp(-x))       the probability of crack, Eq. 2
    n_pos                           the number of crack pixels
    sum_pos                         the sum of sigma over the crack pixels
    sum_all                         the sum of sigma over all pixels

ValueError where the mask is not boolean or of another shape. `LOSSES` has every loss by the name
that users type. `minispiral.kernels.loss_table` declares them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.kernels import arithmetic
from minispiral.kernels import losses as kernels
from minispiral.kernels.arrays import like
from minispiral.tensor import Function, Tensor

Array = NDArray[Any]
Mask = NDArray[np.bool_]


class LossFunction(Function):
    """A loss of the table, on the tape."""

    def __init__(self, loss: kernels.Loss, mask: Mask) -> None:
        self.loss, self.mask = loss, mask

    def forward(self, logits: Array) -> Any:
        self.logits, self.mask = logits, like(self.mask, logits)
        self.sums = kernels.sums(self.loss, logits, self.mask)
        value = kernels.value(self.loss, self.sums, kernels.pixels(logits))
        return arithmetic.astype(value, logits.dtype)

    def backward(self, gy: Array) -> Any:
        g = kernels.gradient(self.loss, self.logits, self.mask, self.sums)
        return arithmetic.multiply(g, gy)


class PseudoLossFunction(LossFunction):
    """One whose gradient is not the derivative of its value."""

    exact = False


def on_tape(loss: kernels.Loss, logits: Tensor, mask: Mask) -> Tensor:
    """A loss of the table, from logits on the tape."""
    function = LossFunction if loss.exact else PseudoLossFunction
    return function(loss, mask)(logits)


def f1_loss(logits: Tensor, mask: Mask) -> Tensor:
    """``-log F1`` with its true gradient, which vanishes where sigma is near 0 or 1.

    ::

        F1 = 2 * sum_pos / (n_pos + sum_all)                                      Eq. 6

        gx = -(1/sum_pos - 1/(n_pos + sum_all)) * sigma * (1 - sigma)  on crack   Eq. 8
                           1/(n_pos + sum_all)  * sigma * (1 - sigma)  elsewhere

    Infinite for a batch without crack pixels; its gradient is finite all the same.
    """
    return on_tape(kernels.F1(), logits, mask)


def pseudo_f1(logits: Tensor, mask: Mask) -> Tensor:
    """``-log F1`` in value; in gradient Eq. 11, cross-entropy's under the weights of F1.

    ::

        gx = -(1/sum_pos - 1/(n_pos + sum_all)) * (1 - sigma)          on crack   Eq. 11
                           1/(n_pos + sum_all)  * sigma                elsewhere

    The weights are ``|dL/dsigma|`` for ``L = -log F1`` (Eq. 7). No loss has this gradient (footnote
    2). It is not divided by the number of pixels. A batch without crack pixels has an infinite
    value; its pixels still get their gradient.
    """
    return on_tape(kernels.PseudoF1(), logits, mask)


def linear(logits: Tensor, mask: Mask) -> Tensor:
    """Minus the mean probability of the label, ``sigma`` or ``1 - sigma`` (Eq. 9, footnote 1)."""
    return on_tape(kernels.Linear(), logits, mask)


def cross_entropy(logits: Tensor, mask: Mask) -> Tensor:
    """The mean of ``-log p``, with ``p`` the probability of the label (Eq. 10, footnote 1)."""
    return on_tape(kernels.CrossEntropy(), logits, mask)


def balanced(logits: Tensor, mask: Mask) -> Tensor:
    """Cross-entropy by inverse class frequency: the mean over crack plus the mean elsewhere."""
    return on_tape(kernels.Balanced(), logits, mask)


def focal(logits: Tensor, mask: Mask, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """The mean of ``-a * (1 - p)**gamma * log(p)``, with ``p`` the probability of the label.

    ``a`` is ``alpha`` on crack and ``1 - alpha`` elsewhere. ``alpha = 0.5`` and ``gamma = 0`` make
    half of cross-entropy. Lin et al., Focal Loss for Dense Object Detection, ICCV 2017.
    """
    return on_tape(kernels.Focal(alpha, gamma), logits, mask)


def _by_name(name: str, logits: Tensor, mask: Mask, **parameters: float) -> Tensor:
    return on_tape(kernels.LOSSES[name](**parameters), logits, mask)


LOSSES: dict[str, Callable[..., Tensor]] = {
    name: partial(_by_name, name) for name in kernels.LOSSES
}
"""Every loss by its name: a function of logits, mask and, by keyword, the loss's parameters."""

SOURCES: dict[str, str] = {name: loss.source for name, loss in kernels.LOSSES.items()}
"""The equation or the paper that each loss is from."""
