"""Losses on the GPU; the formulas are in `minispiral.kernels.losses`.

What is a number there is an array without axes here, float64, and `f1_sums` returns its three
numbers as one array: nothing waits for the GPU.
"""

import numpy as np

from ..shapes import check_mask
from .launch import Array, blocks, ctype, empty, launch
from .rows import SHARED_DOUBLE, THREADS, grid_of
from .table import declare

for t, few, many in (("float", 40, 48), ("double", 48, 64)):  # registers
    declare("losses.cu", f"sigmoid_of<{t}>", registers=few)
    for loss in ("CrossEntropy", "Focal", "Linear", "F1"):
        name = f"block_sums<{t}, {loss}>"
        declare("losses.cu", name, shared=3 * SHARED_DOUBLE, registers=many)
    for loss in ("CrossEntropy", "Balanced", "Focal", "Linear", "F1", "PseudoF1"):
        declare("losses.cu", f"weighted_grad<{t}, {loss}>", registers=many)
declare("losses.cu", "merge_sums", shared=3 * SHARED_DOUBLE)
declare("losses.cu", "f1_loss", threads=1)
for loss in ("CrossEntropy", "Balanced", "Focal", "Linear"):
    declare("losses.cu", f"weighted_sum<{loss}>", threads=1)

_PIXELS_PER_THREAD = 4
_UNUSED = 0.0


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))`` for any ``x``, without overflow."""
    y = empty(x.shape, x.dtype)
    grid = (blocks(x.size, THREADS),)
    launch(f"sigmoid_of<{ctype(x.dtype)}>", grid, x, np.int32(x.size), y)
    return y


def f1_sums(logits: Array, mask: Array) -> Array:
    """``n_pos, sum_pos, sum_all`` of a batch as ``(3,)``; ValueError where the shapes differ."""
    return _sums("F1", logits, mask)


def f1_loss(sums: Array) -> Array:
    """``-log(f1)``, Eq. 6; infinite for a batch without a crack pixel, whose F1 is 0."""
    loss = empty((), np.float64)
    launch("f1_loss", (1,), sums, loss)
    return loss


def f1_grad(logits: Array, mask: Array, sums: Array) -> Array:
    """Eq. 8, the gradient of ``-log(f1)`` with respect to the logits."""
    return _grad("F1", logits, mask, sums)


def pseudo_f1_grad(logits: Array, mask: Array, sums: Array) -> Array:
    """Eq. 11, the pseudo-gradient: cross-entropy's gradient under the weights of F1."""
    return _grad("PseudoF1", logits, mask, sums)


def cross_entropy(logits: Array, mask: Array) -> Array:
    """Eq. 10 over the number of pixels: the mean of ``-log p(label)``."""
    return _loss("CrossEntropy", _sums("CrossEntropy", logits, mask), logits.size)


def cross_entropy_grad(logits: Array, mask: Array) -> Array:
    """``-(1 - sigma) / n`` on crack and ``sigma / n`` elsewhere."""
    return _grad("CrossEntropy", logits, mask)


def balanced(logits: Array, mask: Array) -> Array:
    """Cross-entropy by inverse class frequency: the mean over each class, and the sum of both."""
    return _loss("Balanced", _sums("CrossEntropy", logits, mask), logits.size)


def balanced_grad(logits: Array, mask: Array) -> Array:
    """``-(1 - sigma) / n_pos`` on crack and ``sigma / n_neg`` elsewhere."""
    return _grad("Balanced", logits, mask, _sums("CrossEntropy", logits, mask))


def focal(logits: Array, mask: Array, alpha: float, gamma: float) -> Array:
    """The mean of ``-a * (1 - p)**gamma * log(p)`` with ``p`` the probability of the label."""
    return _loss("Focal", _sums("Focal", logits, mask, gamma), logits.size, alpha)


def focal_grad(logits: Array, mask: Array, alpha: float, gamma: float) -> Array:
    """With ``q = 1 - p``: ``-+ a/n * q**gamma * (q - gamma * p * log(p))``, minus on crack."""
    return _grad("Focal", logits, mask, None, alpha, gamma)


def linear(logits: Array, mask: Array) -> Array:
    """Eq. 9 over the number of pixels: minus the mean probability of the true label."""
    return _loss("Linear", _sums("Linear", logits, mask), logits.size)


def linear_grad(logits: Array, mask: Array) -> Array:
    """``-sigma * (1 - sigma) / n`` on crack and ``sigma * (1 - sigma) / n`` elsewhere."""
    return _grad("Linear", logits, mask)


def _sums(loss: str, logits: Array, mask: Array, gamma: float = _UNUSED) -> Array:
    """Crack pixels, and the sums of the terms of ``loss`` on crack and elsewhere: ``(3,)``."""
    check_mask(logits, mask)
    t, n = ctype(logits.dtype), logits.size
    grid, block = grid_of(n, 1), (1, THREADS)
    parts, sums = empty((grid[1], 3), np.float64), empty((3,), np.float64)
    parameter = logits.dtype.type(gamma)
    launch(
        f"block_sums<{t}, {loss}>", grid, logits, mask, np.int32(n), parameter, parts, block=block
    )
    launch("merge_sums", (1,), parts, np.int32(grid[1]), sums, block=block)
    return sums


def _loss(loss: str, sums: Array, n: int, alpha: float = _UNUSED) -> Array:
    value = empty((), np.float64)
    launch(f"weighted_sum<{loss}>", (1,), sums, np.int32(n), np.float64(alpha), value)
    return value


def _grad(
    loss: str,
    logits: Array,
    mask: Array,
    sums: Array | None = None,
    alpha: float = _UNUSED,
    gamma: float = _UNUSED,
) -> Array:
    check_mask(logits, mask)
    t, n = ctype(logits.dtype), logits.size
    if sums is None:  # which this loss does not read
        sums = empty((3,), np.float64)
    g = empty(logits.shape, logits.dtype)
    parameters = np.float64(alpha), logits.dtype.type(gamma)
    grid = (blocks(n, THREADS * _PIXELS_PER_THREAD),)
    launch(f"weighted_grad<{t}, {loss}>", grid, logits, mask, np.int32(n), sums, *parameters, g)
    return g
