"""The differentiable operations: each a forward and a backward, wiring only.

What takes one line of NumPy is written out here, the rest is a kernel: in NumPy for arrays of the
CPU, in CUDA for those of a GPU, as `minispiral.kernels.dispatch` decides. CuPy's arrays follow
NumPy's functions, so the one line serves both. The arithmetic of tensors (``+ - * /``) is in
`minispiral.tensor`.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minispiral import profiling
from minispiral.kernels.cpu import parallel
from minispiral.kernels.dispatch import (
    batchnorm,
    convolution,
    layout,
    like,
    losses,
    on_device,
    pooling,
)
from minispiral.tensor import Function, Tensor

Array = NDArray[Any]
Axes = int | tuple[int, ...] | None
Vectors = tuple[Array, Array]
Gradients = tuple[Array | None, Array | Future[Array] | None]


# Sums and shapes


class Sum(Function):
    def __init__(self, axis: Axes = None, keepdims: bool = False) -> None:
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        total: Array = x.sum(self.axis, keepdims=self.keepdims)
        return total

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
        self.borders = np.cumsum([x.shape[self.axis] for x in xs[:-1]])
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
        self.y = losses.sigmoid(x)
        return self.y

    def backward(self, gy: Array) -> Array:
        gx: Array = gy * self.y * (1 - self.y)
        return gx


class Log(Function):
    def forward(self, x: Array) -> Array:
        self.x = x
        return np.log(x)

    def backward(self, gy: Array) -> Array:
        return gy / self.x


# Convolution and what goes with it


class Conv2d(Function):
    """``y = conv2d(x, w)``; see `minispiral.kernels.conv2d` for the three kernels."""

    profiled_as = "convolution"

    def __init__(self, stride: int = 1, pad: int = 0) -> None:
        self.stride, self.pad = stride, pad

    def forward(
        self, x: Array, w: Array, moments: bool = False, scale_shift: Vectors | None = None
    ) -> Any:
        self.x, self.w, self.in_hw = x, w, x.shape[1:3]
        return convolution.conv2d(x, w, self.stride, self.pad, moments, scale_shift)

    def backward(self, gy: Array) -> Gradients:
        x = self.x
        return self.gradients(lambda: x, gy)

    def gradients(self, x: Callable[[], Array], gy: Array) -> Gradients:
        """Of the input and the weights; ``x()`` is the input, asked for as late as may be."""
        w, stride, pad = self.w, self.stride, self.pad
        gx = gw = None
        if self.needs_grad[0]:
            with profiling.span("convolution", "input gradient"):
                gx = convolution.conv2d_input_grad(gy, w, self.in_hw, stride, pad)
        if self.needs_grad[1]:
            gw = _weight_gradient(
                gy, lambda: convolution.conv2d_weight_grad(x(), gy, w.shape[:2], stride, pad)
            )
        return gx, gw


class ConvTranspose2d(Conv2d):
    """The adjoint of convolution, used forwards: ``(n, h, w, small)`` to ``(n, oh, ow, big)``."""

    def forward(
        self, x: Array, w: Array, moments: bool = False, scale_shift: Vectors | None = None
    ) -> Any:
        self.x, self.w = x, w
        (h, v), (kh, kw) = x.shape[1:3], w.shape[:2]
        s, p = self.stride, self.pad
        out_hw = s * (h - 1) + kh - 2 * p, s * (v - 1) + kw - 2 * p
        return convolution.conv2d_input_grad(x, w, out_hw, s, p, moments, scale_shift)

    def gradients(self, x: Callable[[], Array], gy: Array) -> Gradients:
        w, stride, pad = self.w, self.stride, self.pad
        gx = gw = None
        if self.needs_grad[0]:
            with profiling.span("convolution", "input gradient"):
                gx = convolution.conv2d(gy, w, stride, pad)
        if self.needs_grad[1]:
            gw = _weight_gradient(
                gy, lambda: convolution.conv2d_weight_grad(gy, x(), w.shape[:2], stride, pad)
            )
        return gx, gw


def _weight_gradient(gy: Array, work: Callable[[], Array]) -> Array | Future[Array]:
    """What ``work`` computes, which nothing else on the tape waits for.

    So on the CPU a helper does it beside the passes over memory of the functions that come next.
    A profile, which counts each moment once, wants one thing at a time.
    """
    if on_device(gy) or profiling.is_running():
        with profiling.span("convolution", "weight gradient"):
            return work()
    return parallel.beside(work)


class BatchNorm(Function):
    """Normalise by the batch's own moments or, where given, by constant ones.

    ``mean`` and ``var`` hold the moments that were used.
    """

    profiled_as = "batch norm"

    def __init__(self, eps: float, moments: Vectors | None = None) -> None:
        self.eps, self.constant = eps, moments is not None
        if moments is not None:
            self.mean, self.var = moments

    def forward(self, x: Array, gamma: Array, beta: Array) -> Array:
        self.x, self.gamma = x, gamma
        if self.constant:
            self.mean, self.var = like(self.mean, x), like(self.var, x)
        else:
            self.mean, self.var = batchnorm.moments(x)
        return batchnorm.normalize(x, self.mean, self.var, gamma, beta, self.eps)

    def backward(self, gy: Array) -> tuple[Array, Array, Array]:
        return batchnorm.normalize_grad(
            self.x, gy, self.mean, self.var, self.gamma, self.eps, self.constant
        )


class ConvNormReLU(Function):
    """Convolution (or its transpose), batch norm and ReLU as one node, the paper's building block.

    Equal to the three operations one after the other. It keeps the convolution's output, two
    vectors per channel and the input, unless that came out of such a block: then it is made again
    from what that block keeps, so that of two images only one is kept. The moments are summed
    while the convolution's output is still in cache, and normalisation and ReLU are one pass.
    ``moments`` as for batch norm. Where they are constant and no gradient is wanted, that pass too
    is made in cache.
    """

    profiled_as = "batch norm and ReLU"

    def __init__(
        self,
        eps: float,
        stride: int = 1,
        pad: int = 0,
        transpose: bool = False,
        moments: Vectors | None = None,
    ) -> None:
        self.conv = (ConvTranspose2d if transpose else Conv2d)(stride, pad)
        self.eps, self.constant = eps, moments is not None
        self.remake: Callable[[], Array] | None = None  # makes an input that is not kept
        if moments is not None:
            self.mean, self.var = moments

    def __call__(self, *inputs: Tensor | ArrayLike) -> Tensor:
        y = super().__call__(*inputs)
        x = inputs[0]
        if on_device(y.data):  # where time is dearer than memory
            return y
        if y.creator is self and isinstance(x, Tensor) and isinstance(x.creator, ConvNormReLU):
            self.remake = x.creator.output
            self.inputs = Remade(x.creator, self.remake, x.shape), *self.taped_inputs()[1:]
            del self.conv.x
        return y

    def forward(self, x: Array, w: Array, gamma: Array, beta: Array) -> Array:
        self.conv.needs_grad = self.needs_grad[:2]
        self.gamma, self.beta = gamma, beta
        if self.constant:
            self.mean, self.var = like(self.mean, x), like(self.var, x)
        with profiling.span("convolution", "forward"):  # with what is done in its tiles
            if self.constant and not any(self.needs_grad):
                vectors = batchnorm.scale_shift(x.dtype, self.mean, self.var, gamma, beta, self.eps)
                result: Array = self.conv.forward(x, w, scale_shift=vectors)
                return result
            if self.constant:
                self.y = self.conv.forward(x, w)
            else:
                self.y, self.mean, self.var = self.conv.forward(x, w, moments=True)
        self.output = partial(
            batchnorm.normalize_relu, self.y, self.mean, self.var, gamma, beta, self.eps
        )
        return self.output()

    def backward(self, gy: Array) -> tuple[Any, ...]:
        gconv, ggamma, gbeta = batchnorm.normalize_relu_grad(
            self.y, gy, self.mean, self.var, self.gamma, self.beta, self.eps, self.constant
        )
        if self.remake is None:
            return *self.conv.backward(gconv), ggamma, gbeta
        return *self.conv.gradients(self.remake, gconv), ggamma, gbeta


class Remade(Tensor):
    """What a block gave, as the tape keeps it: the values are made again when asked for."""

    def __init__(
        self, block: ConvNormReLU, make: Callable[[], Array], shape: tuple[int, ...]
    ) -> None:
        self.requires_grad, self.grad, self.creator = True, None, block
        self.make, self.made_shape = make, shape

    @property
    def data(self) -> Array:  # type: ignore[override]
        return self.make()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.made_shape


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
    return total * (total.data.size / x.data.size)


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
