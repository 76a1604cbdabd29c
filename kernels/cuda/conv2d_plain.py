"""Convolution in the plainest kernels, for whatever the others do not accept.

That is float64, few channels on both sides, and GPUs without tensor cores.
"""

import numpy as np
from numpy.typing import DTypeLike

from ..normalized import Image, array_of
from ..shapes import Convolution
from . import split_k
from .convolution import struct
from .epilogues import EpilogueArguments
from .launch import Array, blocks, ctype, launch
from .table import declare

for t, registers in (("float", 40), ("double", 48)):
    for name in ("conv2d", "conv2d_input_grad", "conv2d_weight_grad"):
        declare("conv2d_plain.cu", f"{name}<{t}>", registers=registers)

_THREADS = 256


def accepts(conv: Convolution, dtype: DTypeLike) -> bool:
    return True


def conv2d(x: Image, w: Array, y: Array, conv: Convolution, epilogue: EpilogueArguments) -> None:
    x = array_of(x)
    grid = (blocks(y.size, _THREADS),)
    arguments = struct(conv), x, w, np.int32(y.size), y, *epilogue.scale_shift
    launch(f"conv2d<{ctype(x.dtype)}>", grid, *arguments)


def conv2d_input_grad(
    gy: Image, w: Array, gx: Array, conv: Convolution, epilogue: EpilogueArguments
) -> None:
    gy = array_of(gy)
    grid = (blocks(gx.size, _THREADS),)
    arguments = struct(conv), gy, w, np.int32(gx.size), gx, *epilogue.scale_shift
    launch(f"conv2d_input_grad<{ctype(gy.dtype)}>", grid, *arguments)


def conv2d_weight_grad(x: Image, gy: Image, gw: Array, conv: Convolution) -> None:
    x, gy = array_of(x), array_of(gy)
    across = blocks(gw.size, _THREADS)
    # The rows of the images are shared among as many blocks as it takes to keep the GPU busy. One
    # writes zeros where there are no images.
    most = min(max(1, 4 * split_k.FULL // across), 2 * split_k.FULL)
    parts = blocks(conv.n * conv.oh, 1, most)
    expression = f"conv2d_weight_grad<{ctype(x.dtype)}>"
    operands = struct(conv), x, gy, np.int32(gw.size)
    split_k.launch_in_parts(expression, (across,), parts, operands, gw)
