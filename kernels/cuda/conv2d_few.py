"""Convolution where the larger image has few channels: the first and last layers of the modules.

Such a layer does little arithmetic for each number it reads, so memory is the limit; on tensor
cores most of the products would be of zeros.
"""

import numpy as np
from numpy.typing import DTypeLike

from ..normalized import Image, array_of
from ..shapes import Convolution
from . import split_k
from .convolution import CHUNK, check_aligned, struct
from .epilogues import EpilogueArguments
from .launch import Array, blocks, launch
from .rows import SHARED_DOUBLE
from .table import declare

FEW = 7  # channels of the larger image
MOST_TERMS = 64  # taps times channels of the larger image

_TILE = 128, 64  # pixels and channels of a block of conv2d_few
_STEP = 32  # pixels of a step of conv2d_weight_grad_few
_COLUMNS = 64  # channels of a block of conv2d_weight_grad_few
_LANES = 8  # threads that compute a group of pixels together in conv2d_input_grad_few
_THREADS = 256
_MOST_BLOCKS = 2048  # of conv2d_input_grad_few: each leaves a part of the moments

# Floats in shared memory: windows and weights of a tile, windows and gradient of a step.
declare("conv2d_few.cu", "conv2d_few", shared=4 * MOST_TERMS * sum(_TILE), registers=64)
declare(
    "conv2d_few.cu",
    "conv2d_weight_grad_few",
    shared=4 * _STEP * (MOST_TERMS + _COLUMNS),
    registers=64,
)
for big in range(1, FEW + 1):
    declare(
        "conv2d_few.cu",
        f"conv2d_input_grad_few<{big}>",
        shared=3 * SHARED_DOUBLE,
        registers=64 if big <= 4 else 80,
    )


def accepts(conv: Convolution, dtype: DTypeLike) -> bool:
    """Float32, few channels on one side alone, and a kernel small enough for shared memory."""
    few = conv.big <= FEW and conv.kh * conv.kw * conv.big <= MOST_TERMS
    return dtype == np.float32 and few and conv.small >= CHUNK


def conv2d(x: Image, w: Array, y: Array, conv: Convolution, epilogue: EpilogueArguments) -> None:
    x = array_of(x)
    pixels, channels = _TILE
    tiles = blocks(conv.n * conv.oh * conv.ow, pixels), blocks(conv.small, channels)
    launch("conv2d_few", tiles, struct(conv), x, w, y, *epilogue.with_moments(tiles[0]))


def conv2d_input_grad(
    gy: Image, w: Array, gx: Array, conv: Convolution, epilogue: EpilogueArguments
) -> None:
    gy = array_of(gy)
    check_aligned(gy, w)
    groups = conv.n * blocks(conv.h, conv.stride) * blocks(conv.w, conv.stride)
    block = _LANES, _THREADS // _LANES
    count = min(blocks(groups, block[1]), _MOST_BLOCKS)
    arguments = struct(conv), gy, w, gx, *epilogue.with_moments(count)
    launch(f"conv2d_input_grad_few<{conv.big}>", (count,), *arguments, block=block)


def conv2d_weight_grad(x: Image, gy: Image, gw: Array, conv: Convolution) -> None:
    x, gy = array_of(x), array_of(gy)
    across = blocks(conv.small, _COLUMNS)
    parts = split_k.parts(across, blocks(conv.n * conv.oh * conv.ow, _STEP))
    operands = struct(conv), x, gy
    split_k.launch_in_parts("conv2d_weight_grad_few", (across,), parts, operands, gw)
