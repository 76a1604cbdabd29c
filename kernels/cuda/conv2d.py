"""Convolution on the GPU; the formulas are in `minispiral.kernels.conv2d`.

Four algorithms, each with CUDA C of its own, compute the three functions. The first of
`ALGORITHMS` that accepts the sizes and the dtype runs.
"""

from collections.abc import Sequence
from typing import Protocol

from numpy.typing import DTypeLike

from ..epilogues import Epilogue
from ..normalized import Image
from ..shapes import Convolution
from . import conv2d_few, conv2d_mma, conv2d_plain, conv2d_pointwise, tf32
from .epilogues import EpilogueArguments
from .launch import Array, empty


class Algorithm(Protocol):
    """A way to compute all three functions; each fills its third argument."""

    def accepts(self, conv: Convolution, dtype: DTypeLike) -> bool:
        """Whether it can compute this on the GPU in use, and is the quickest that can."""

    def conv2d(
        self, x: Image, w: Array, y: Array, conv: Convolution, epilogue: EpilogueArguments
    ) -> None: ...

    def conv2d_input_grad(
        self, gy: Image, w: Array, gx: Array, conv: Convolution, epilogue: EpilogueArguments
    ) -> None: ...

    def conv2d_weight_grad(self, x: Image, gy: Image, gw: Array, conv: Convolution) -> None: ...


ALGORITHMS: Sequence[Algorithm] = (
    conv2d_pointwise,
    conv2d_few,
    conv2d_mma,
    conv2d_plain,
)


def conv2d(x: Image, w: Array, conv: Convolution, epilogue: Epilogue | None) -> Array:
    """``y (n, oh, ow, small)``."""
    y = empty(conv.output_shape, x.dtype)
    arguments = EpilogueArguments(epilogue, y)
    _algorithm(conv, x.dtype).conv2d(x, w, y, conv, arguments)
    arguments.conclude()
    return y


def conv2d_input_grad(gy: Image, w: Array, conv: Convolution, epilogue: Epilogue | None) -> Array:
    """``gx (n, h, w, big)``."""
    gx = empty(conv.image_shape, gy.dtype)
    arguments = EpilogueArguments(epilogue, gx)
    _algorithm(conv, gy.dtype).conv2d_input_grad(gy, w, gx, conv, arguments)
    arguments.conclude()
    return gx


def conv2d_weight_grad(x: Image, gy: Image, conv: Convolution) -> Array:
    """``gw (kh, kw, big, small)``."""
    gw = empty(conv.weight_shape, x.dtype)
    _algorithm(conv, x.dtype).conv2d_weight_grad(x, gy, gw, conv)
    return gw


def _algorithm(conv: Convolution, dtype: DTypeLike) -> Algorithm:
    """The first that accepts. ValueError where TF32 is asked for and the dtype is another."""
    tf32.check_dtype(dtype)
    return next(candidate for candidate in ALGORITHMS if candidate.accepts(conv, dtype))
