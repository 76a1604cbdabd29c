"""What a training run wants to know of its steps, summed where the step is computed.

So nothing has to be read back from a GPU after each step.
"""

from typing import Any

from .arrays import on_gpu
from .cpu import statistics as cpu
from .cuda import statistics as cuda
from .shapes import check_mask

Array = Any  # NumPy's or the GPU's

# The totals, in their order. A pixel is detected where its probability is at least 0.5, and correct
# if it is crack too. The sum of the losses leaves out those that are not finite, such as -log F1 of
# a batch without crack.
TOTALS = (
    "loss_sum",
    "finite_losses",
    "crack",
    "detected",
    "correct",
    "batches_without_crack",
    "nan_losses",
)


def add_batch(totals: Array, loss: Array, logits: Array, mask: Array) -> None:
    """Add a batch to the ``totals (7,)``, float64, in place.

    ``loss`` is an array without axes, ``mask`` is True on crack and of the shape of the ``logits``.
    ValueError where it is not. Where processes share the batch, that of all of them is added.
    """
    check_mask(logits, mask)
    twin = cuda if on_gpu(logits) else cpu
    twin.add_batch(totals, loss, logits, mask)
