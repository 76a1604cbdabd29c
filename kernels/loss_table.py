"""The table of losses: what each of them is, declared once.

A loss is taken over all ``n`` pixels of a batch with logits ``x``. With ``t = -x`` on crack and
``t = x`` elsewhere, ``sigmoid(t)`` is the probability of the wrong answer. A loss says which sums
over the batch it needs, how its value and the weights of the two classes follow from these, and a
slope. Its gradient with respect to the logits is::

    -w_pos * slope(-x)    on crack
     w_neg * slope(x)     elsewhere

The CPU kernels apply the formulas to tiles. For the GPU ``losses.cu`` has a struct with the name of
each class. The losses on the tape, the options of the command line, the gradient checks and the
documentation follow from `LOSSES`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .cpu.logistic import sigmoid, softplus

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Sums = tuple[Any, Any, Any]  # float64: crack pixels, a sum over crack, and one over the rest or all
Weights = tuple[Any, Any]  # w_pos, w_neg

_FLOOR = 1e-12  # of denominators: gradients stay finite at saturated logits


class Range(NamedTuple):
    """The numbers that a parameter may be."""

    description: str
    contains: Callable[[float], bool]


class Parameter(NamedTuple):
    """A parameter of a loss."""

    default: float
    meaning: str
    range: Range


SHARE = Range("a number between 0 and 1", lambda value: 0 < value < 1)
AT_LEAST_0 = Range("a number of at least 0", lambda value: 0 <= value < math.inf)


def _parameter(default: float, meaning: str, allowed: Range) -> Any:
    return field(default=default, metadata={"parameter": Parameter(default, meaning, allowed)})


@dataclass(frozen=True)
class Loss:
    """A loss; its fields are its parameters."""

    name: ClassVar[str]  # as users type it
    source: ClassVar[str]
    exact: ClassVar[bool] = True  # whether the gradient is the derivative of the value

    @classmethod
    def parameters(cls) -> dict[str, Parameter]:
        """By name, in the order in which the struct in ``losses.cu`` has them."""
        return {f.name: f.metadata["parameter"] for f in fields(cls)}

    def sums(self, x: Array, crack: Mask) -> Sums:
        """The sums over the pixels of one tile."""
        raise NotImplementedError

    def value(self, sums: Sums, n: int) -> Any:
        """The loss, from the sums over all pixels."""
        raise NotImplementedError

    def weights(self, sums: Sums, n: int) -> Weights:
        """``w_pos, w_neg``, from the sums over all pixels."""
        raise NotImplementedError

    def slope(self, t: Array) -> Array:
        """The factor of each pixel."""
        raise NotImplementedError


class PixelLoss(Loss):
    """A sum over pixels: of ``w_pos * term(-x)`` on crack and of ``w_neg * term(x)`` elsewhere.

    ``slope`` is the derivative of ``term``.
    """

    def term(self, t: Array) -> Array:
        raise NotImplementedError

    def sums(self, x: Array, crack: Mask) -> Sums:
        terms = self.term(np.where(crack, -x, x))
        return np.count_nonzero(crack), _sum(terms[crack]), _sum(terms[~crack])

    def value(self, sums: Sums, n: int) -> Any:
        _, on_crack, elsewhere = sums
        w_pos, w_neg = self.weights(sums, n)
        return w_pos * on_crack + w_neg * elsewhere


class OverlapLoss(Loss):
    """A function of how prediction and crack overlap, through three numbers.

    ``n_pos`` is the number of crack pixels, ``sum_pos`` the sum of ``sigma = sigmoid(x)`` over
    them, ``sum_all`` the sum of sigma over all pixels. The weights are the absolute values of the
    derivative by sigma, and ``slope`` is the derivative of sigma.
    """

    def sums(self, x: Array, crack: Mask) -> Sums:
        sigma = sigmoid(x)
        return np.count_nonzero(crack), _sum(sigma[crack]), _sum(sigma)

    def slope(self, t: Array) -> Array:
        return sigmoid(t) * sigmoid(-t)


class F1(OverlapLoss):
    """``-log F1``, with its true gradient.

    Infinite for a batch without crack, whose F1 is 0; the gradient is finite all the same.
    """

    name = "f1"
    source = "Eq. 6 to 8"

    def value(self, sums: Sums, n: int) -> Any:
        n_pos, _, _ = sums
        if n_pos == 0:
            return np.float64(np.inf)
        sum_pos, total = self._denominators(sums)
        return np.log(total / 2) - np.log(sum_pos)

    def weights(self, sums: Sums, n: int) -> Weights:
        sum_pos, total = self._denominators(sums)
        return 1 / sum_pos - 1 / total, 1 / total  # |Eq. 7|

    def _denominators(self, sums: Sums) -> tuple[Any, Any]:
        n_pos, sum_pos, sum_all = sums
        return np.maximum(sum_pos, _FLOOR), np.maximum(n_pos + sum_all, _FLOOR)


class PseudoF1(F1):
    """``-log F1``, with the gradient of cross-entropy under the weights of F1.

    No loss has it as its gradient (footnote 2). It is not divided by the number of pixels.
    """

    name = "pseudo-f1"
    source = "Eq. 11"
    exact = False

    def slope(self, t: Array) -> Array:
        return sigmoid(t)


class CrossEntropy(PixelLoss):
    """The mean of ``-log p``, with ``p`` the probability of the label (footnote 1)."""

    name = "cross-entropy"
    source = "Eq. 10"

    def term(self, t: Array) -> Array:
        return softplus(t)

    def slope(self, t: Array) -> Array:
        return sigmoid(t)

    def weights(self, sums: Sums, n: int) -> Weights:
        return 1 / n, 1 / n


class Balanced(CrossEntropy):
    """Cross-entropy by inverse class frequency: the mean over crack plus the mean elsewhere.

    A class that the batch lacks has no term.
    """

    name = "balanced"
    source = "Section 4.4"

    def weights(self, sums: Sums, n: int) -> Weights:
        n_pos, _, _ = sums
        return 1 / max(n_pos, 1), 1 / max(n - n_pos, 1)


@dataclass(frozen=True)
class Focal(PixelLoss):
    """The mean of ``-a * (1 - p)**gamma * log(p)``, with ``p`` the probability of the label.

    ``a`` is ``alpha`` on crack and ``1 - alpha`` elsewhere. ``alpha = 0.5`` and ``gamma = 0`` make
    half of cross-entropy.
    """

    name = "focal"
    source = "Lin et al. 2017"
    alpha: float = _parameter(0.25, "Weight of crack in the focal loss.", SHARE)
    gamma: float = _parameter(2.0, "Focus of the focal loss on what is wrong.", AT_LEAST_0)

    def term(self, t: Array) -> Array:
        return sigmoid(t) ** self.gamma * softplus(t)

    def slope(self, t: Array) -> Array:
        wrong, right = sigmoid(t), sigmoid(-t)
        return wrong**self.gamma * (wrong + self.gamma * right * softplus(t))

    def weights(self, sums: Sums, n: int) -> Weights:
        return self.alpha / n, (1 - self.alpha) / n


class Linear(PixelLoss):
    """Minus the mean probability of the label (footnote 1)."""

    name = "linear"
    source = "Eq. 9"

    def term(self, t: Array) -> Array:
        return -sigmoid(-t)

    def slope(self, t: Array) -> Array:
        return sigmoid(t) * sigmoid(-t)

    def weights(self, sums: Sums, n: int) -> Weights:
        return 1 / n, 1 / n


@dataclass(frozen=True)
class Tversky(OverlapLoss):
    """``1 - T``, with ``T`` the Tversky index; Dice's loss where ``alpha`` and ``beta`` are 1/2.

    ``T = TP / (TP + alpha * FP + beta * FN)`` with ``TP = sum_pos``, ``FP = sum_all - sum_pos`` and
    ``FN = n_pos - sum_pos``. Without crack in the batch ``T`` is 0 whatever the logits are: the
    loss is 1 and its gradient 0.
    """

    name = "tversky"
    source = "Salehi et al. 2017"
    alpha: float = _parameter(0.5, "Weight of false positives in the Tversky loss.", AT_LEAST_0)
    beta: float = _parameter(0.5, "Weight of false negatives in the Tversky loss.", AT_LEAST_0)

    def value(self, sums: Sums, n: int) -> Any:
        _, sum_pos, _ = sums
        return 1 - sum_pos / self._denominator(sums)

    def weights(self, sums: Sums, n: int) -> Weights:
        n_pos, sum_pos, sum_all = sums
        square = self._denominator(sums) ** 2
        w_pos = (self.alpha * (sum_all - sum_pos) + self.beta * n_pos) / square
        return w_pos, self.alpha * sum_pos / square

    def _denominator(self, sums: Sums) -> Any:
        n_pos, sum_pos, sum_all = sums
        errors = self.alpha * (sum_all - sum_pos) + self.beta * (n_pos - sum_pos)
        return np.maximum(sum_pos + errors, _FLOOR)


LOSSES: dict[str, type[Loss]] = {
    loss.name: loss for loss in (PseudoF1, F1, CrossEntropy, Balanced, Focal, Linear, Tversky)
}


def _sum(x: Array) -> Any:
    return np.add.reduce(x, dtype=np.result_type(x.dtype, np.float64))
