"""The paper's building block as one node: convolution, batch norm and ReLU, made fast.

`minispiral.ops` has the same three operations one by one, and tests hold the two equal. What is
gained here, besides fewer passes over memory:

- **Epilogues.** The sums for the moments are taken while the convolution's output is in cache. In
  evaluation mode scale, shift and ReLU are applied there too. On a GPU, the gradient of a block's
  input is summed there for the backward pass of the block before.
- **Recomputed inputs.** Between forward and backward a block keeps its convolution's output and
  two vectors per channel. Its input, which the weight gradient needs, is not kept where it came
  out of such a block: one cheap pass makes it again from what that block keeps. On a GPU it is
  never made at all where a block follows, whose convolutions normalise what they read.
- **Late gradients.** No function waits for a weight gradient. So on the CPU a helper thread
  computes it while the backward pass goes on, and on a GPU the sums that blocks have shared are
  added up for many gradients at once.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from minispiral import profiling
from minispiral.kernels import batchnorm, conv2d
from minispiral.kernels.arrays import Array, like, on_gpu
from minispiral.kernels.cpu import parallel
from minispiral.kernels.cuda.sum_parts import completed, postponed
from minispiral.kernels.epilogues import Epilogue, GradSums, Moments, ScaleShiftReLU
from minispiral.kernels.norm import Norm
from minispiral.kernels.normalized import Image, Normalized
from minispiral.kernels.shapes import transposed_hw
from minispiral.ops import Vectors
from minispiral.tensor import Function, Gradient, Tensor


class Running(NamedTuple):
    """Running moments ``(c,)``, and how far a batch moves them."""

    mean: Array
    var: Array
    momentum: float


class ConvNormReLU(Function):
    """``max(batch_norm(conv2d(x, w)), 0)``: ``x (n, h, w, ci)`` to ``(n, oh, ow, co)``.

    ``gamma`` and ``beta`` are ``(co,)``; with ``transpose`` the convolution is a transposed one. It
    normalises by the moments of the batch, which move the ``running`` ones if given, or by constant
    ``moments``; ``mean`` and ``var`` hold those that were used. ``backward`` returns the weight
    gradient as a callable.
    """

    def __init__(
        self,
        eps: float,
        stride: int = 1,
        pad: int = 0,
        transpose: bool = False,
        moments: Vectors | None = None,
        running: Running | None = None,
    ) -> None:
        self.conv = _Convolution(stride, pad, transpose)
        self.eps, self.moments, self.running = eps, moments, running
        self.input: Callable[[], Image]
        self.array: Callable[[], Array]  # the output, to be made
        self.output: Normalized  # on a GPU
        self.summed: tuple[Array, Array] | None = None  # a gradient of the output, and its sums

    def __call__(self, *inputs: Tensor | ArrayLike) -> Tensor:
        x = inputs[0]
        if isinstance(x, _GpuOutput):
            inputs = x.unmade(), *inputs[1:]
        y = super().__call__(*inputs)
        if y.creator is not self:
            return y
        if on_gpu(y.data):
            return _GpuOutput(self, self.output)
        assert self.inputs is not None
        before = self.inputs[0].creator
        if isinstance(before, ConvNormReLU) and before.inputs is not None:
            self.input = before.array  # where memory is dearer than time
            self.inputs = _Output(before, self.inputs[0].shape, before.array), *self.inputs[1:]
        return y

    def forward(self, x: Image, w: Array, gamma: Array, beta: Array) -> Array:
        self.input = lambda: x
        self.w, self.in_hw, self.gamma, self.beta = w, x.shape[1:3], gamma, beta
        affine = None
        with profiling.span("convolution", "forward"):
            if self.moments is None:
                norm = self.running and Norm(gamma, beta, self.eps, *self.running)
                epilogue = Moments(norm)
                self.y = self.conv.forward(x, w, epilogue)
                self.mean, self.var = epilogue.mean, epilogue.var
                affine = norm and (norm.scale, norm.shift)
            else:
                self.mean, self.var = self.moments
                if not any(self.needs_grad):
                    return self.conv.forward(x, w, ScaleShiftReLU(*self._affine()))
                self.y = self.conv.forward(x, w)
        vectors = self.mean, self.var, gamma, beta, self.eps
        self.array = partial(batchnorm.normalize_relu, self.y, *vectors)
        if not (on_gpu(self.y) and any(self.needs_grad)):
            return self.array()
        self.array = cache(self.array)  # made once, if at all
        self.output = Normalized(self.y, *(affine or self._affine()), self.mean, self.array)
        return self.y

    def _affine(self) -> Vectors:
        vectors = self.mean, self.var, self.gamma, self.beta
        return batchnorm.scale_shift(self.w.dtype, *vectors, self.eps)

    def backward(self, gy: Array) -> tuple[Gradient | None, ...]:
        constant = self.moments is not None
        vectors = self.mean, self.var, self.gamma, self.beta
        # Sums of another gradient are of no use: more than one block may have read the output.
        sums = self.summed[1] if self.summed is not None and self.summed[0] is gy else None
        gconv, ggamma, gbeta = batchnorm.normalize_relu_grad(
            self.y, gy, *vectors, self.eps, constant, sums
        )
        gx = gw = None
        if self.needs_grad[0]:
            with profiling.span("convolution", "input gradient"):
                gx = self._input_grad(gconv)
        if self.needs_grad[1]:
            gw = _late(partial(self.conv.weight_grad, self.input, gconv, self.w.shape[:2]), gconv)
        return gx, gw, ggamma, gbeta

    def _input_grad(self, gconv: Array) -> Array:
        """The gradient of the input and, on a GPU, its sums for the block that made the input."""
        assert self.inputs is not None
        before = self.inputs[0].creator
        if not (on_gpu(gconv) and isinstance(before, ConvNormReLU) and before.inputs is not None):
            return self.conv.input_grad(gconv, self.w, self.in_hw)
        epilogue = GradSums(before.output)
        gx = self.conv.input_grad(gconv, self.w, self.in_hw, epilogue)
        if epilogue.parts is not None:
            before.summed = gx, epilogue.parts
        return gx


class _Convolution(NamedTuple):
    """A convolution or a transposed one, and its two gradients."""

    stride: int
    pad: int
    transpose: bool

    def forward(self, x: Image, w: Array, epilogue: Epilogue | None = None) -> Array:
        if not self.transpose:
            return conv2d.conv2d(x, w, self.stride, self.pad, epilogue)
        out_hw = transposed_hw(x.shape[1:3], w.shape[:2], self.stride, self.pad)
        return conv2d.conv2d_input_grad(x, w, out_hw, self.stride, self.pad, epilogue)

    def input_grad(
        self, gy: Array, w: Array, in_hw: tuple[int, int], epilogue: Epilogue | None = None
    ) -> Array:
        if self.transpose:
            return conv2d.conv2d(gy, w, self.stride, self.pad, epilogue)
        return conv2d.conv2d_input_grad(gy, w, in_hw, self.stride, self.pad, epilogue)

    def weight_grad(self, x: Callable[[], Image], gy: Array, kernel_hw: tuple[int, int]) -> Array:
        large, small = (gy, x()) if self.transpose else (x(), gy)
        return conv2d.conv2d_weight_grad(large, small, kernel_hw, self.stride, self.pad)


class _Output(Tensor):
    """A block's output, which is made when its ``data`` are asked for."""

    def __init__(
        self, creator: Function | None, shape: tuple[int, ...], make: Callable[[], Image]
    ) -> None:
        self.requires_grad, self.grad, self.creator = True, None, creator
        self._shape, self._make = shape, make

    @property  # type: ignore[misc]  # nobody sets it
    def data(self) -> Image:
        return self._make()

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape


class _GpuOutput(_Output):
    """The same on a GPU, where it is what a block returns."""

    def __init__(self, creator: ConvNormReLU, normalized: Normalized) -> None:
        super().__init__(creator, normalized.shape, normalized.array)
        self.normalized = normalized

    def unmade(self) -> Tensor:
        """For another block, whose convolutions normalise what they read."""
        return _Output(self.creator, self.shape, lambda: self.normalized)


def _late(work: Callable[[], Array], gy: Array) -> Gradient:
    """The gradient that ``work`` computes: begun now and, on the CPU, waited for when needed.

    On the GPU what is left for later is to add up the parts of all such gradients.
    """
    kind = "convolution", "weight gradient"
    with profiling.span(*kind):
        if on_gpu(gy):
            with postponed():
                gw = work()
            return partial(completed, gw)
        future = parallel.submit(profiling.overlapped(*kind, work))

    def wait() -> Array:
        with profiling.span(*kind, calls=0):
            return future.result()

    return wait


def conv_relu(x: Tensor, w: Tensor, b: Tensor, stride: int = 1, pad: int = 0) -> Tensor:
    """``max(conv2d(x, w) + b, 0)``, the bias ``b (co,)`` added in the pass of the ReLU.

    It is a `ConvNormReLU` whose moments change nothing: mean 0, variance 1, eps 0.
    """
    zeros, ones = (
        like(np.full(b.shape, value, b.dtype), b.data, constant=True) for value in (0, 1)
    )
    return ConvNormReLU(0.0, stride, pad, moments=(zeros, ones))(x, w, Tensor(ones), b)
