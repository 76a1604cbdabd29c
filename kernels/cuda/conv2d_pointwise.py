"""Convolution by a kernel of 1 x 1 to one channel: the layer that mixes the maps of all modules."""

import numpy as np
from numpy.typing import DTypeLike

from ..normalized import Image, array_of
from ..shapes import Convolution
from . import split_k
from .epilogues import EpilogueArguments
from .launch import Array, blocks, launch
from .table import declare

MOST = 7  # channels of the larger image

_THREADS = 256
_FEWEST, _MOST = 8, 64  # pixels of a thread that sums over them in float

for big in range(1, MOST + 1):
    for name, shared in (("conv2d", 0), ("conv2d_input_grad", 0), ("conv2d_weight_grad", 1)):
        declare(
            "conv2d_pointwise.cu",
            f"{name}_pointwise<{big}>",
            shared=shared * 4 * _THREADS // 32 * big,
            registers=64,
        )


def accepts(conv: Convolution, dtype: DTypeLike) -> bool:
    """Float32, pixel by pixel, and few channels to one."""
    pixel_by_pixel = conv.kh == conv.kw == conv.stride == 1 and conv.pad == 0
    return dtype == np.float32 and pixel_by_pixel and conv.big <= MOST and conv.small == 1


def conv2d(x: Image, w: Array, y: Array, conv: Convolution, epilogue: EpilogueArguments) -> None:
    arguments = array_of(x), w, np.int32(y.size), y, *epilogue.scale_shift
    launch(f"conv2d_pointwise<{conv.big}>", (blocks(y.size, _THREADS),), *arguments)


def conv2d_input_grad(
    gy: Image, w: Array, gx: Array, conv: Convolution, epilogue: EpilogueArguments
) -> None:
    gy = array_of(gy)
    arguments = gy, w, np.int32(gy.size), gx, *epilogue.scale_shift
    grid = (blocks(gx.size, 4 * _THREADS),)
    launch(f"conv2d_input_grad_pointwise<{conv.big}>", grid, *arguments)


def conv2d_weight_grad(x: Image, gy: Image, gw: Array, conv: Convolution) -> None:
    x, gy = array_of(x), array_of(gy)
    parts = max(
        blocks(gy.size, _FEWEST * _THREADS, 2 * split_k.FULL), blocks(gy.size, _MOST * _THREADS)
    )
    name = f"conv2d_weight_grad_pointwise<{conv.big}>"
    split_k.launch_in_parts(name, (1,), parts, (x, gy, np.int32(gy.size)), gw)
