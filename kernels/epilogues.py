"""What a convolution does to each part of its output while that is in cache or registers.

A pass over the output of its own would have to read it from memory again. `Moments` computes what
batch normalization needs in training, `ScaleShiftReLU` is what it comes down to in evaluation, and
`GradSums` computes what its backward pass begins with.
"""

from dataclasses import dataclass, field
from typing import Any

from .norm import Norm
from .normalized import Normalized

Array = Any  # NumPy's or the GPU's


@dataclass(eq=False)
class Moments:
    """Mean and biased variance of each channel, ``(c,)`` each; set by the convolution.

    ``mean = sum(y) / m`` and ``var = sum((y - mean)**2) / m`` over the ``m`` pixels of a channel of
    the output, in its dtype. With ``norm`` its scale and shift are set too, and its running moments
    moved.
    """

    norm: Norm | None = None
    mean: Array = field(init=False)
    var: Array = field(init=False)


@dataclass(eq=False)
class ScaleShiftReLU:
    """``max(scale * y + shift, 0)`` in place of the output ``y``, with vectors ``(c,)``."""

    scale: Array
    shift: Array


@dataclass(eq=False)
class GradSums:
    """The sums over pixels that the gradient of batch norm and ReLU needs.

    For a convolution whose output is that gradient's ``gy``; ``image`` is what the batch norm and
    the ReLU made of their input ``x``. Per channel, with ``g = gy`` where ``image > 0`` and 0
    elsewhere, each of the ``parts (blocks, c, 2)`` holds ``sum(g)`` and ``sum(g * (x - mean))``
    over some of the pixels, in float64. None after the convolution: it did not compute them, as on
    the CPU, and `minispiral.kernels.batchnorm.normalize_relu_grad` will.
    """

    image: Normalized
    parts: Array | None = None


Epilogue = Moments | ScaleShiftReLU | GradSums
