"""Losses over all pixels of a batch, Section 3 of the paper and its rivals of Section 4.4.

With ``sigma`` the sigmoid of the logits, a mask that is True on crack, and ``n_pos`` crack pixels
among ``n`` pixels, the F1 score of Eq. 6 is::

    f1 = 2 * sum_pos / (n_pos + sum_all)      sum_pos = sum of sigma over the crack pixels
                                              sum_all = sum of sigma over all pixels

Sums are accumulated in float64 whatever the dtype of the logits, tile by tile in a fixed order.
``1 - sigma(x)`` is computed as ``sigma(-x)``, so that nothing is lost where sigma is nearly one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..shapes import check_mask
from . import parallel

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Weights = tuple[np.float64, np.float64]  # of a crack pixel and of any other

_FLOOR = 1e-12  # of sum_pos and of n_pos + sum_all: keeps gradients finite at saturated logits


class F1Sums(NamedTuple):
    """The three numbers of Eq. 6, float64: they are all the F1 score needs of a batch."""

    n_pos: np.float64
    sum_pos: np.float64
    sum_all: np.float64


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))`` for any ``x``, without overflow."""
    y = parallel.empty(x.shape, x.dtype)
    flat, out = np.ascontiguousarray(x).reshape(-1), y.reshape(-1)
    parallel.run(lambda tile: _sigmoid(flat[tile], out[tile]), parallel.row_tiles(flat.size))
    return y


def f1_sums(logits: Array, mask: Mask) -> F1Sums:
    """``n_pos, sum_pos, sum_all`` of a batch; ValueError where the shapes differ."""
    x, positive = _flat(logits, mask)

    def work(tile: slice) -> tuple[Any, Any, Any]:
        sigma = _sigmoid(x[tile], parallel.scratch(x[tile].shape, x.dtype))
        hits = positive[tile]
        return np.count_nonzero(hits), _sum(sigma[hits]), _sum(sigma)

    return F1Sums(*np.add.reduce(parallel.run(work, parallel.row_tiles(x.size)), 0))


def f1_loss(sums: F1Sums) -> np.float64:
    """``-log(f1)``, Eq. 6; infinite for a batch without a crack pixel, whose F1 is 0."""
    if sums.n_pos == 0:
        return np.float64(np.inf)
    sum_pos, total = _floored(sums)
    loss: np.float64 = np.log(total / 2) - np.log(sum_pos)
    return loss


def f1_weights(sums: F1Sums) -> Weights:
    """|Eq. 7|: the size of dL/dsigma on crack pixels and on the others, for ``L = -log(f1)``."""
    sum_pos, total = _floored(sums)
    return 1 / sum_pos - 1 / total, 1 / total


def f1_grad(logits: Array, mask: Mask, sums: F1Sums) -> Array:
    """Eq. 8, the gradient of ``-log(f1)`` with respect to the logits.

    ::

        -(1/sum_pos - 1/(n_pos + sum_all)) * sigma * (1 - sigma)      on crack
                      1/(n_pos + sum_all)  * sigma * (1 - sigma)      elsewhere
    """
    return _weighted_grad(logits, mask, f1_weights(sums), slope=True)


def pseudo_f1_grad(logits: Array, mask: Mask, sums: F1Sums) -> Array:
    """Eq. 11, the pseudo-gradient: cross-entropy's gradient under the weights of F1.

    ::

        -(1/sum_pos - 1/(n_pos + sum_all)) * (1 - sigma)      on crack
                      1/(n_pos + sum_all)  * sigma            elsewhere

    No loss has it as gradient (footnote 2). Not divided by the number of pixels.
    """
    return _weighted_grad(logits, mask, f1_weights(sums), slope=False)


def cross_entropy(logits: Array, mask: Mask) -> np.float64:
    """Eq. 10 over the number of pixels: the mean of ``-log p(label)``."""
    return _weighted_sum(logits, mask, _equal_weights(mask), _surprise)


def cross_entropy_grad(logits: Array, mask: Mask) -> Array:
    """``-(1 - sigma) / n`` on crack and ``sigma / n`` elsewhere."""
    return _weighted_grad(logits, mask, _equal_weights(mask), slope=False)


def balanced(logits: Array, mask: Mask) -> np.float64:
    """Cross-entropy by inverse class frequency: the mean over each class, and the sum of both.

    A class that the batch lacks has no term.
    """
    return _weighted_sum(logits, mask, _inverse_frequencies(mask), _surprise)


def balanced_grad(logits: Array, mask: Mask) -> Array:
    """``-(1 - sigma) / n_pos`` on crack and ``sigma / n_neg`` elsewhere."""
    return _weighted_grad(logits, mask, _inverse_frequencies(mask), slope=False)


def focal(logits: Array, mask: Mask, alpha: float, gamma: float) -> np.float64:
    """The mean of ``-a * (1 - p)**gamma * log(p)`` with ``p`` the probability of the true label.

    ``a`` is ``alpha`` on crack and ``1 - alpha`` elsewhere (Lin et al. 2017).
    """

    def term(t: Array) -> Array:
        wrong: Array = _sigmoid(t, np.empty_like(t)) ** gamma
        return wrong * _surprise(t)

    return _weighted_sum(logits, mask, _focal_weights(mask, alpha), term)


def focal_grad(logits: Array, mask: Mask, alpha: float, gamma: float) -> Array:
    """With ``q = 1 - p``: ``-+ a/n * q**gamma * (q - gamma * p * log(p))``, minus on crack."""

    def slope(t: Array) -> Array:
        p = _sigmoid(-t, np.empty_like(t))
        q = _sigmoid(t, np.empty_like(t))
        result: Array = q**gamma * (q + gamma * p * _surprise(t))
        return result

    return _signed(logits, mask, _focal_weights(mask, alpha), slope)


def linear(logits: Array, mask: Mask) -> np.float64:
    """Eq. 9 over the number of pixels: minus the mean probability of the true label."""

    def term(t: Array) -> Array:
        return -_sigmoid(-t, np.empty_like(t))

    return _weighted_sum(logits, mask, _equal_weights(mask), term)


def linear_grad(logits: Array, mask: Mask) -> Array:
    """``-sigma * (1 - sigma) / n`` on crack and ``sigma * (1 - sigma) / n`` elsewhere."""
    return _weighted_grad(logits, mask, _equal_weights(mask), slope=True)


def _equal_weights(mask: Mask) -> Weights:
    return 1 / np.float64(mask.size), 1 / np.float64(mask.size)


def _inverse_frequencies(mask: Mask) -> Weights:
    n_pos = int(np.count_nonzero(mask))
    return 1 / np.float64(max(n_pos, 1)), 1 / np.float64(max(mask.size - n_pos, 1))


def _focal_weights(mask: Mask, alpha: float) -> Weights:
    return np.float64(alpha / mask.size), np.float64((1 - alpha) / mask.size)


def _surprise(t: Array) -> Array:
    """``-log(p) = log(1 + exp(t))`` where the true label has the probability ``sigma(-t)``."""
    result: Array = np.maximum(t, 0) + np.log1p(_exp_minus_abs(t))
    return result


def _weighted_sum(
    logits: Array, mask: Mask, weights: Weights, term: Callable[[Array], Array]
) -> np.float64:
    """``w_pos * term(-x)`` summed over crack plus ``w_neg * term(x)`` summed elsewhere."""
    x, positive = _flat(logits, mask)

    def work(tile: slice) -> tuple[Any, Any]:
        hits = positive[tile]
        terms = term(np.where(hits, -x[tile], x[tile]))
        return _sum(terms[hits]), _sum(terms[~hits])

    on_crack, elsewhere = np.add.reduce(parallel.run(work, parallel.row_tiles(x.size)), 0)
    total: np.float64 = weights[0] * on_crack + weights[1] * elsewhere
    return total


def _weighted_grad(logits: Array, mask: Mask, weights: Weights, slope: bool) -> Array:
    """``-w_pos * (1 - sigma)`` on crack, ``w_neg * sigma`` elsewhere.

    With ``slope`` both carry the further factor that makes ``sigma * (1 - sigma)``.
    """

    def share(t: Array) -> Array:
        """Of the wrong answer: ``sigma(t)`` is ``1 - sigma`` on crack and sigma elsewhere."""
        wrong = _sigmoid(t, np.empty_like(t))
        return wrong * _sigmoid(-t, np.empty_like(t)) if slope else wrong

    return _signed(logits, mask, weights, share)


def _signed(logits: Array, mask: Mask, weights: Weights, slope: Callable[[Array], Array]) -> Array:
    """``-w_pos * slope(-x)`` on crack, ``w_neg * slope(x)`` elsewhere."""
    x, positive = _flat(logits, mask)
    g = parallel.empty(logits.shape, logits.dtype)
    out = g.reshape(-1)
    on_crack, elsewhere = (logits.dtype.type(weight) for weight in weights)

    def work(tile: slice) -> None:
        hits = positive[tile]
        slopes = slope(np.where(hits, -x[tile], x[tile]))
        np.multiply(slopes, np.where(hits, -on_crack, elsewhere), out=out[tile])

    parallel.run(work, parallel.row_tiles(x.size))
    return g


def _sigmoid(x: Array, out: Array) -> Array:
    # sigma = 1 / (1 + e) for x >= 0 and e / (1 + e) below
    e = _exp_minus_abs(x)
    np.divide(np.where(x >= 0, x.dtype.type(1), e), 1 + e, out=out)
    return out


def _exp_minus_abs(x: Array) -> Array:
    """``exp(-|x|)``, which never overflows; for a complex ``x`` the real part gives the sign."""
    e: Array = np.exp(np.where(x >= 0, -x, x))
    return e


def _sum(x: Array) -> Any:
    return np.add.reduce(x, dtype=np.result_type(x.dtype, np.float64))


def _floored(sums: F1Sums) -> tuple[Any, Any]:
    return np.maximum(sums.sum_pos, _FLOOR), np.maximum(sums.n_pos + sums.sum_all, _FLOOR)


def _flat(logits: Array, mask: Mask) -> tuple[Array, Mask]:
    check_mask(logits, mask)
    return np.ascontiguousarray(logits).reshape(-1), np.ascontiguousarray(mask).reshape(-1)
