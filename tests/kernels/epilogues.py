"""Convolutions with an epilogue as functions of arrays to arrays."""

from collections.abc import Callable
from typing import Any

from minispiral.kernels.epilogues import Moments, ScaleShiftReLU

Kernel = Callable[..., Any]


def with_moments(kernel: Kernel) -> Kernel:
    """The kernel with the epilogue `Moments`: returns the output, its mean and its variance."""

    def call(*args: Any) -> tuple[Any, Any, Any]:
        moments = Moments()
        y = kernel(*args, epilogue=moments)
        return y, moments.mean, moments.var

    return call


def with_scale_shift_relu(kernel: Kernel) -> Kernel:
    """The kernel with the epilogue `ScaleShiftReLU`, whose vectors come first."""
    return lambda scale, shift, *args: kernel(*args, epilogue=ScaleShiftReLU(scale, shift))
