"""The differentiable operations: each a forward and a backward.

What is one line of NumPy is written out, and works on CuPy's arrays too; anything longer is a
kernel of `minispiral.kernels`. The arithmetic of tensors (``+ - * /``) is in `minispiral.tensor`.
"""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from minispiral.kernels import arithmetic, batchnorm, layout, pooling
from minispiral.kernels import conv2d as kernels
from minispiral.kernels.arrays import Array
from minispiral.kernels.shapes import transposed_hw
from minispiral.tensor import Function, Tensor

Axes = int | tuple[int, ...] | None
Vectors = tuple[Array, Array]
Gradients = tuple[Array | None, Array | None]


# Sums and shapes


class Sum(Function):
    def __init__(self, axis: Axes = None, keepdims: bool = False) -> None:
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return x.sum(self.axis, keepdims=self.keepdims)

    def backward(self, gy: Array) -> Array:
        if self.axis is not None and not self.keepdims:
            gy = np.expand_dims(gy, self.axis)
        return np.broadcast_to(gy, self.shape).copy()


class Reshape(Function):
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.to = shape

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return x.reshape(self.to)

    def backward(self, gy: Array) -> Array:
        return gy.reshape(self.shape)


class Concatenate(Function):
    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, *xs: Array) -> Array:
        self.borders = list(accumulate(x.shape[self.axis] for x in xs[:-1]))
        return layout.concatenate(*xs, axis=self.axis)

    def backward(self, gy: Array) -> tuple[Array, ...]:
        return layout.split(gy, self.borders, axis=self.axis)


class EdgePad(Function):
    def __init__(self, before: int, after: int) -> None:
        self.rim = before, after

    def forward(self, x: Array) -> Array:
        return layout.edge_pad(x, *self.rim)

    def backward(self, gy: Array) -> Array:
        return layout.edge_pad_grad(gy, *self.rim)


class Crop(Function):
    def __init__(self, start: int, hw: tuple[int, int]) -> None:
        self.start, self.hw = start, hw

    def forward(self, x: Array) -> Array:
        self.in_hw = x.shape[1:3]
        return layout.crop(x, self.start, self.hw)

    def backward(self, gy: Array) -> Array:
        return layout.crop_grad(gy, self.start, self.in_hw)


# Elementwise functions


class ReLU(Function):
    def forward(self, x: Array) -> Array:
        self.x = x
        return np.maximum(x, 0)

    def backward(self, gy: Array) -> Array:
        return np.multiply(gy, self.x > 0)


class Sigmoid(Function):
    def forward(self, x: Array) -> Array:
        self.y = arithmetic.sigmoid(x)
        return self.y

    def backward(self, gy: Array) -> Array:
        return gy * self.y * (1 - self.y)


class Log(Function):
    def forward(self, x: Array) -> Array:
        self.x = x
        return np.log(x)

    def backward(self, gy: Array) -> Array:
        return gy / self.x


# Convolution and what goes with it


class Conv2d(Function):
    """``y = conv2d(x, w)``; the three kernels are in `minispiral.kernels.conv2d`."""

    def __init__(self, stride: int = 1, pad: int = 0) -> None:
        self.stride, self.pad = stride, pad

    def forward(self, x: Array, w: Array) -> Array:
        self.x, self.w = x, w
        return kernels.conv2d(x, w, self.stride, self.pad)

    def backward(self, gy: Array) -> Gradients:
        x, w, stride, pad = self.x, self.w, self.stride, self.pad
        gx = gw = None
        if self.needs_grad[0]:
            gx = kernels.conv2d_input_grad(gy, w, x.shape[1:3], stride, pad)
        if self.needs_grad[1]:
            gw = kernels.conv2d_weight_grad(x, gy, w.shape[:2], stride, pad)
        return gx, gw


class ConvTranspose2d(Conv2d):
    """The adjoint of convolution, used forwards: ``(n, h, w, small)`` to ``(n, oh, ow, big)``."""

    def forward(self, x: Array, w: Array) -> Array:
        self.x, self.w = x, w
        out_hw = transposed_hw(x.shape[1:3], w.shape[:2], self.stride, self.pad)
        return kernels.conv2d_input_grad(x, w, out_hw, self.stride, self.pad)

    def backward(self, gy: Array) -> Gradients:
        x, w, stride, pad = self.x, self.w, self.stride, self.pad
        gx = gw = None
        if self.needs_grad[0]:
            gx = kernels.conv2d(gy, w, stride, pad)
        if self.needs_grad[1]:
            gw = kernels.conv2d_weight_grad(gy, x, w.shape[:2], stride, pad)
        return gx, gw


class BatchNorm(Function):
    """Normalise by the batch's own moments or, where given, by constant ones.

    ``mean`` and ``var`` hold the moments that were used.
    """

    def __init__(self, eps: float, moments: Vectors | None = None) -> None:
        self.eps, self.constant = eps, moments

    def forward(self, x: Array, gamma: Array, beta: Array) -> Array:
        self.x, self.gamma = x, gamma
        self.mean, self.var = batchnorm.moments(x) if self.constant is None else self.constant
        return batchnorm.normalize(x, self.mean, self.var, gamma, beta, self.eps)

    def backward(self, gy: Array) -> tuple[Array, Array, Array]:
        return batchnorm.normalize_grad(
            self.x, gy, self.mean, self.var, self.gamma, self.eps, self.constant is not None
        )


class MaxPool2d(Function):
    def __init__(self, size: int, stride: int) -> None:
        self.size, self.stride = size, stride

    def forward(self, x: Array) -> Array:
        self.in_hw = x.shape[1:3]
        y, self.argmax = pooling.max_pool2d(x, self.size, self.stride)
        return y

    def backward(self, gy: Array) -> Array:
        return pooling.max_pool2d_grad(gy, self.argmax, self.in_hw, self.size, self.stride)


# What users call


def sum(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Sum over all elements or over the given axes."""
    return Sum(axis, keepdims)(x)


def mean(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Mean over all elements or over the given axes."""
    total = sum(x, axis, keepdims)
    share: float = total.data.size / x.data.size
    return total * share


def reshape(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The same elements in another shape."""
    return Reshape(shape)(x)


def concatenate(xs: Sequence[Tensor], axis: int = -1) -> Tensor:
    """Tensors side by side along an axis, the channels by default."""
    return Concatenate(axis)(*xs)


def edge_pad(x: Tensor, before: int, after: int) -> Tensor:
    """Repeat the outermost rows and columns of ``x (n, h, w, c)``.

    The result is ``(n, before + h + after, before + w + after, c)``.
    """
    return EdgePad(before, after)(x)


def crop(x: Tensor, start: int, hw: tuple[int, int]) -> Tensor:
    """The ``(h, w)`` pixels of ``x`` from row ``start`` and column ``start`` on."""
    return Crop(start, hw)(x)


def relu(x: Tensor) -> Tensor:
    """``max(x, 0)``; the gradient at 0 is 0."""
    return ReLU()(x)


def sigmoid(x: Tensor) -> Tensor:
    """``1 / (1 + exp(-x))``, without overflow."""
    return Sigmoid()(x)


def log(x: Tensor) -> Tensor:
    """Natural logarithm."""
    return Log()(x)


def conv2d(x: Tensor, w: Tensor, stride: int = 1, pad: int = 0) -> Tensor:
    """Convolution of ``x (n, h, w, ci)`` with ``w (kh, kw, ci, co)`` to ``(n, oh, ow, co)``."""
    return Conv2d(stride, pad)(x, w)


def conv_transpose2d(x: Tensor, w: Tensor, stride: int = 1, pad: int = 0) -> Tensor:
    """Transposed convolution of ``x (n, h, w, ci)`` with ``w (kh, kw, co, ci)``.

    The result is ``(n, stride*(h-1) + kh - 2*pad, stride*(w-1) + kw - 2*pad, co)``.
    """
    return ConvTranspose2d(stride, pad)(x, w)


def batch_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-5) -> Tensor:
    """Batch norm of ``x (..., c)`` by its own moments, scaled and shifted per channel ``(c,)``."""
    return BatchNorm(eps)(x, gamma, beta)


def max_pool2d(x: Tensor, size: int, stride: int | None = None) -> Tensor:
    """Largest value under each ``size x size`` window, ``stride`` apart (``size`` by default)."""
    return MaxPool2d(size, size if stride is None else stride)(x)
