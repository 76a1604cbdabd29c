"""What a convolution does to each part of its output while that is in cache or registers.

A pass over the output of its own would have to read it from memory again. `Moments` computes what
batch normalization needs in training, `ScaleShiftReLU` is what it comes down to in evaluation.
"""

from dataclasses import dataclass, field
from typing import Any

Array = Any  # NumPy's or the GPU's


@dataclass(eq=False)
class Moments:
    """Mean and biased variance of each channel, ``(c,)`` each; set by the convolution.

    ``mean = sum(y) / m`` and ``var = sum((y - mean)**2) / m`` over the ``m`` pixels of a channel of
    the output, in its dtype.
    """

    mean: Array = field(init=False)
    var: Array = field(init=False)


@dataclass(eq=False)
class ScaleShiftReLU:
    """``max(scale * y + shift, 0)`` in place of the output ``y``, with vectors ``(c,)``."""

    scale: Array
    shift: Array


Epilogue = Moments | ScaleShiftReLU
