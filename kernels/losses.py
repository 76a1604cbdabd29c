"""Losses over all pixels of a batch, Section 3 of the paper.

With ``sigma`` the sigmoid of the logits, a mask that is True on crack, and ``n_pos`` crack pixels
among ``n`` pixels, the F1 score of Eq. 6 is::

    f1 = 2 * sum_pos / (n_pos + sum_all)      sum_pos = sum of sigma over the crack pixels
                                              sum_all = sum of sigma over all pixels

Sums are accumulated in float64 whatever the dtype of the logits, tile by tile in a fixed order.
``1 - sigma(x)`` is computed as ``sigma(-x)``, so that nothing is lost where sigma is nearly one.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import parallel

Array = NDArray[Any]
Mask = NDArray[np.bool_]

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


def f1_weights(sums: F1Sums) -> tuple[np.float64, np.float64]:
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
    x, positive = _flat(logits, mask)

    def work(tile: slice) -> Any:
        # -log sigma(t) = log(1 + exp(-t)) with t = x on crack and -x elsewhere
        t = np.where(positive[tile], -x[tile], x[tile])
        return _sum(np.maximum(t, 0) + np.log1p(_exp_minus_abs(t)))

    total: np.float64 = np.add.reduce(parallel.run(work, parallel.row_tiles(x.size)))
    return total / x.size


def cross_entropy_grad(logits: Array, mask: Mask) -> Array:
    """``-(1 - sigma) / n`` on crack and ``sigma / n`` elsewhere."""
    weight = np.float64(1 / logits.size)
    return _weighted_grad(logits, mask, (weight, weight), slope=False)


def _weighted_grad(
    logits: Array, mask: Mask, weights: tuple[np.float64, np.float64], slope: bool
) -> Array:
    """``-w_pos * (1 - sigma)`` on crack, ``w_neg * sigma`` elsewhere.

    With ``slope`` both carry the further factor that makes ``sigma * (1 - sigma)``.
    """
    x, positive = _flat(logits, mask)
    g = parallel.empty(logits.shape, logits.dtype)
    out = g.reshape(-1)
    on_crack, elsewhere = (logits.dtype.type(weight) for weight in weights)

    def work(tile: slice) -> None:
        hits = positive[tile]
        # sigma(t) is the share of the wrong answer: 1 - sigma on crack, sigma elsewhere
        t = np.where(hits, -x[tile], x[tile])
        _sigmoid(t, out[tile])
        if slope:
            out[tile] *= _sigmoid(-t, parallel.scratch(t.shape, t.dtype))
        out[tile] *= np.where(hits, -on_crack, elsewhere)

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
    if mask.shape != logits.shape or mask.dtype != np.bool_:
        raise ValueError(
            f"expected a boolean mask of the logits' shape {logits.shape}, "
            f"got {mask.dtype} of shape {mask.shape}"
        )
    return np.ascontiguousarray(logits).reshape(-1), np.ascontiguousarray(mask).reshape(-1)
