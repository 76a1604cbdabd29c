"""Convolution on the CPU: three matrix products.

The windows of ``x`` under the kernel, written out as rows, are a matrix ``(n*oh*ow, kh*kw*big)``,
the weights another, ``(kh*kw*big, small)``. Then::

    y  = windows @ weights
    gw = windows.T @ gy
    gx = fold(gy @ weights.T)

where `fold` adds the gradient of each window to the pixels that it covers. Chapter 2 of the book
derives this; the formulas are in `minispiral.kernels.conv2d`.

Each product is computed in tiles that stay in cache. How threads share them is decided by the
first of `SPLITS` and `INPUT_GRADS` that accepts the sizes.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..epilogues import Epilogue
from ..normalized import Image, array_of
from ..shapes import Convolution, convolution
from . import conv2d_channels, conv2d_pixels, parallel
from .epilogues import Finish, Parts, conclude, finisher
from .im2col import windows

Array = NDArray[Any]


def conv2d(x: Image, w: Array, conv: Convolution, epilogue: Epilogue | None) -> Array:
    """``y = windows @ weights``."""
    x = array_of(x)
    y = parallel.empty(conv.output_shape, x.dtype)
    weights = w.reshape(-1, conv.small)
    parts = _first(SPLITS, conv).conv2d(windows(x, conv), weights, y, finisher(epilogue))
    conclude(epilogue, parts, y.dtype)
    return y


def conv2d_weight_grad(x: Image, gy: Image, conv: Convolution) -> Array:
    """``gw = windows.T @ gy``."""
    x, gy = array_of(x), np.ascontiguousarray(array_of(gy))
    gw = parallel.empty(conv.weight_shape, x.dtype)
    _first(SPLITS, conv).conv2d_weight_grad(windows(x, conv), gy, gw.reshape(-1, conv.small))
    return gw


def conv2d_input_grad(gy: Image, w: Array, conv: Convolution, epilogue: Epilogue | None) -> Array:
    """``gx = fold(gy @ weights.T)``."""
    gy = array_of(gy)
    gx = parallel.empty(conv.image_shape, gy.dtype)
    parts = _first(INPUT_GRADS, conv).conv2d_input_grad(gy, w, gx, conv, finisher(epilogue))
    conclude(epilogue, parts, gx.dtype)
    return gx


class InputGrad(Protocol):
    """A way to compute the gradient of the input."""

    def accepts(self, conv: Convolution) -> bool:
        """Whether it is right, and quick, for these sizes."""

    def conv2d_input_grad(
        self, gy: Array, w: Array, gx: Array, conv: Convolution, finish: Finish
    ) -> Parts:
        """Fill ``gx`` and apply ``finish`` to each of its parts; returns what that returned."""


class Split(InputGrad, Protocol):
    """A way for threads to share all three products."""

    def conv2d(self, windows: Array, weights: Array, y: Array, finish: Finish) -> Parts:
        """Fill ``y (n, oh, ow, small)`` and apply ``finish`` to each of its parts."""

    def conv2d_weight_grad(self, windows: Array, gy: Array, gw: Array) -> None:
        """Fill ``gw (kh*kw*big, small)``."""


class StrideOne:
    """With stride 1 the adjoint is a convolution too, of ``gy`` by the rotated kernel.

    To gather is faster than to scatter.
    """

    def accepts(self, conv: Convolution) -> bool:
        return conv.stride == 1 and conv.kh == conv.kw > max(conv.pad, 1)

    def conv2d_input_grad(
        self, gy: Array, w: Array, gx: Array, conv: Convolution, finish: Finish
    ) -> Parts:
        rotated = np.ascontiguousarray(w[::-1, ::-1].swapaxes(2, 3))  # (kh, kw, small, big)
        conv = convolution(gy.shape, rotated.shape, 1, conv.kh - 1 - conv.pad)
        weights = rotated.reshape(-1, conv.small)
        return _first(SPLITS, conv).conv2d(windows(gy, conv), weights, gx, finish)


class Padded:
    """The gradient of the padded image, with the padding cut off: the adjoint of padding."""

    def accepts(self, conv: Convolution) -> bool:
        return conv.pad > 0

    def conv2d_input_grad(
        self, gy: Array, w: Array, gx: Array, conv: Convolution, finish: Finish
    ) -> Parts:
        pad, h, v = conv.pad, conv.h, conv.w
        padded = conv._replace(h=h + 2 * pad, w=v + 2 * pad, pad=0)
        gx[...] = conv2d_input_grad(gy, w, padded, None)[:, pad : pad + h, pad : pad + v]
        rows = gx.reshape(-1, conv.big)
        tiles = parallel.row_tiles(*rows.shape)
        return [parallel.run(lambda tile: finish(rows[tile]), tiles)]


class NoImages:
    """The share of a process that has no image of the batch."""

    def accepts(self, conv: Convolution) -> bool:
        return conv.n == 0

    def conv2d(self, windows: Array, weights: Array, y: Array, finish: Finish) -> Parts:
        return [[finish(y)]]

    def conv2d_weight_grad(self, windows: Array, gy: Array, gw: Array) -> None:
        gw.fill(0)

    def conv2d_input_grad(
        self, gy: Array, w: Array, gx: Array, conv: Convolution, finish: Finish
    ) -> Parts:
        return [[finish(gx)]]


Way = TypeVar("Way", bound=InputGrad)

SPLITS: Sequence[Split] = (NoImages(), conv2d_pixels, conv2d_channels)
INPUT_GRADS: Sequence[InputGrad] = (NoImages(), StrideOne(), Padded(), *SPLITS[1:])


def _first(ways: Sequence[Way], conv: Convolution) -> Way:
    return next(way for way in ways if way.accepts(conv))
