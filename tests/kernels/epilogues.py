"""Convolutions with an epilogue as functions of arrays to arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minispiral.kernels import batchnorm
from minispiral.kernels.epilogues import GradSums, Moments, ScaleShiftReLU
from minispiral.kernels.normalized import Normalized

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


def reading_normalized(kernel: Kernel, *places: int) -> Kernel:
    """The kernel with the images at these places yet to be normalised; vectors come first.

    Each image has three: scale, shift and mean. None of them is ever made: that would be a pass.
    """

    def call(*args: Any) -> Any:
        vectors, args = args[: 3 * len(places)], args[3 * len(places) :]
        images = list(args)
        for i, place in enumerate(places):
            images[place] = Normalized(args[place], *vectors[3 * i : 3 * i + 3], array=_refuse)
        return kernel(*images)

    return call


def with_grad_sums(kernel: Kernel) -> Kernel:
    """The kernel with the epilogue `GradSums`: returns the output and the sums ``(parts, c, 2)``.

    Scale, shift and mean come first, then the image that they belong to.
    """

    def call(scale: Any, shift: Any, mean: Any, x: Any, *args: Any) -> tuple[Any, Any]:
        sums = GradSums(Normalized(x, scale, shift, mean, _refuse))
        y = kernel(*args, epilogue=sums)
        return y, sums.parts

    return call


def normalizing(kernel: Kernel) -> Kernel:
    """The kernel for an image yet to be normalised; NumPy makes it first."""

    def run(scale: Any, shift: Any, x: Any, *rest: Any) -> Any:
        def make() -> Any:
            return np.maximum(scale * x + shift, 0)

        return kernel(Normalized(x, scale, shift, scale, make), *rest)

    return run


def summing(kernel: Kernel) -> Kernel:
    """The kernel, and the gradient of a batch norm and a ReLU of which it may take the sums."""

    def run(mean: Any, var: Any, gamma: Any, beta: Any, x: Any, *rest: Any) -> Any:
        scale, shift = batchnorm.scale_shift(x.dtype, mean, var, gamma, beta, 1.0)
        sums = GradSums(Normalized(x, scale, shift, mean, lambda: x))
        y = kernel(*rest, epilogue=sums)
        vectors = mean, var, gamma, beta, 1.0, False
        return y, *batchnorm.normalize_relu_grad(x, y, *vectors, sums.parts)

    return run


def _refuse() -> Any:
    raise AssertionError("an image was made that a convolution should have read as it is")
