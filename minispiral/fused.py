"""The paper's building block as one node: convolution, batch norm and ReLU, made fast.

`minispiral.ops` has the same three operations one by one, and tests hold the two equal. What is
gained here, besides fewer passes over memory:

- **Epilogues.** The sums for the moments are taken while the convolution's output is in cache. In
  evaluation mode scale, shift and ReLU are applied there too.
- **Recomputed inputs.** Between forward and backward a block keeps its convolution's output and
  two vectors per channel. Its input, which the weight gradient needs, is not kept where it came
  out of such a block: one cheap pass makes it again from what that block keeps.
- **Late gradients.** No function waits for a weight gradient. So on the CPU a helper thread
  computes it while the backward pass goes on.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from minispiral import profiling
from minispiral.kernels import batchnorm, conv2d
from minispiral.kernels.arrays import Array, like, on_gpu
from minispiral.kernels.cpu import parallel
from minispiral.kernels.epilogues import Epilogue, Moments, ScaleShiftReLU
from minispiral.kernels.shapes import transposed_hw
from minispiral.ops import Vectors
from minispiral.tensor import Function, Gradient, Tensor


class ConvNormReLU(Function):
    """``max(batch_norm(conv2d(x, w)), 0)``: ``x (n, h, w, ci)`` to ``(n, oh, ow, co)``.

    ``gamma`` and ``beta`` are ``(co,)``; with ``transpose`` the convolution is a transposed one. It
    normalises by the moments of the batch or, where given, by constant ones; ``mean`` and ``var``
    hold those that were used. ``backward`` returns the weight gradient as a callable on the CPU.
    """

    def __init__(
        self,
        eps: float,
        stride: int = 1,
        pad: int = 0,
        transpose: bool = False,
        moments: Vectors | None = None,
    ) -> None:
        self.conv = _Convolution(stride, pad, transpose)
        self.eps, self.moments = eps, moments
        self.input: Callable[[], Array]
        self.output: Callable[[], Array]

    def __call__(self, *inputs: Tensor | ArrayLike) -> Tensor:
        y = super().__call__(*inputs)
        if y.creator is self and not on_gpu(y.data):  # where memory is dearer than time
            assert self.inputs is not None
            x, *parameters = self.inputs
            if isinstance(x.creator, ConvNormReLU) and x.creator.inputs is not None:
                self.input = x.creator.output
                self.inputs = Recomputed(x.creator, x.shape), *parameters
        return y

    def forward(self, x: Array, w: Array, gamma: Array, beta: Array) -> Array:
        self.input = lambda: x
        self.w, self.in_hw, self.gamma, self.beta = w, x.shape[1:3], gamma, beta
        with profiling.span("convolution", "forward"):
            if self.moments is None:
                epilogue = Moments()
                self.y = self.conv.forward(x, w, epilogue)
                self.mean, self.var = epilogue.mean, epilogue.var
            else:
                self.mean, self.var = self.moments
                if not any(self.needs_grad):
                    vectors = batchnorm.scale_shift(x.dtype, *self.moments, gamma, beta, self.eps)
                    return self.conv.forward(x, w, ScaleShiftReLU(*vectors))
                self.y = self.conv.forward(x, w)
        self.output = partial(
            batchnorm.normalize_relu, self.y, self.mean, self.var, gamma, beta, self.eps
        )
        return self.output()

    def backward(self, gy: Array) -> tuple[Gradient | None, ...]:
        constant = self.moments is not None
        vectors = self.mean, self.var, self.gamma, self.beta
        gconv, ggamma, gbeta = batchnorm.normalize_relu_grad(
            self.y, gy, *vectors, self.eps, constant
        )
        gx = gw = None
        if self.needs_grad[0]:
            with profiling.span("convolution", "input gradient"):
                gx = self.conv.input_grad(gconv, self.w, self.in_hw)
        if self.needs_grad[1]:
            gw = _late(partial(self.conv.weight_grad, self.input, gconv, self.w.shape[:2]), gconv)
        return gx, gw, ggamma, gbeta


class _Convolution(NamedTuple):
    """A convolution or a transposed one, and its two gradients."""

    stride: int
    pad: int
    transpose: bool

    def forward(self, x: Array, w: Array, epilogue: Epilogue | None = None) -> Array:
        if not self.transpose:
            return conv2d.conv2d(x, w, self.stride, self.pad, epilogue)
        out_hw = transposed_hw(x.shape[1:3], w.shape[:2], self.stride, self.pad)
        return conv2d.conv2d_input_grad(x, w, out_hw, self.stride, self.pad, epilogue)

    def input_grad(self, gy: Array, w: Array, in_hw: tuple[int, int]) -> Array:
        if self.transpose:
            return conv2d.conv2d(gy, w, self.stride, self.pad)
        return conv2d.conv2d_input_grad(gy, w, in_hw, self.stride, self.pad)

    def weight_grad(self, x: Callable[[], Array], gy: Array, kernel_hw: tuple[int, int]) -> Array:
        large, small = (gy, x()) if self.transpose else (x(), gy)
        return conv2d.conv2d_weight_grad(large, small, kernel_hw, self.stride, self.pad)


class Recomputed(Tensor):
    """A block's output as the next block keeps it on the tape: made again when asked for."""

    def __init__(self, creator: ConvNormReLU, shape: tuple[int, ...]) -> None:
        self.requires_grad, self.grad, self.creator = True, None, creator
        self._recompute, self._shape = creator.output, shape

    @property  # type: ignore[misc]  # nobody sets it
    def data(self) -> Array:
        return self._recompute()

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape


def _late(work: Callable[[], Array], gy: Array) -> Gradient:
    """The gradient that ``work`` computes: on the CPU begun now and waited for when needed."""
    kind = "convolution", "weight gradient"
    with profiling.span(*kind):
        if on_gpu(gy):
            return work()
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
