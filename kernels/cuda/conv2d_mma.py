"""Convolution on the tensor cores, for float32.

Tensor cores take factors of 10 bits of fraction (TF32). By default each factor is therefore split
into two such numbers, which takes three products instead of one and leaves the result as exact as
in float32. Where `minispiral.kernels.cuda.tf32` allows it, factors are rounded instead.
"""

import math

import numpy as np
from numpy.typing import DTypeLike

from ..normalized import Image, array_of
from ..shapes import Convolution
from . import split_k, tf32
from .conv2d_few import FEW
from .convolution import CHUNK, check_aligned, struct
from .epilogues import EpilogueArguments
from .launch import Array, blocks, gpu
from .table import declare

# Rows and columns of a block's tile of the result; see matrix_product.cuh.
TILINGS = {
    "Large": (128, 128),
    "Medium": (128, 64),
    "Precise": (128, 64),
    "NarrowMedium": (128, 64),
    "NarrowPrecise": (128, 64),
}
TERMS = 16  # of the sums, that a block adds in one step
_STAGES = 4  # steps whose tiles are in shared memory

for tiling, (m, n) in TILINGS.items():
    # Numbers in a step's two tiles. Rows of terms are padded by 4, terms of rows by 8.
    for name, floats in (
        ("conv2d_mma", m * (TERMS + 4) + TERMS * (n + 8)),
        ("conv2d_input_grad_mma", (m + n) * (TERMS + 4)),
        ("conv2d_weight_grad_mma", TERMS * (m + 8 + n + 8)),
    ):
        shared = 4 * _STAGES * floats
        declare("conv2d_mma.cu", f"{name}<{tiling}>", shared=shared, registers=128)


def accepts(conv: Convolution, dtype: DTypeLike) -> bool:
    """Float32, tensor cores, and enough channels to be worth their tiles."""
    enough = conv.big > FEW or conv.small >= CHUNK
    return dtype == np.float32 and enough and gpu().has_tensor_cores()


def conv2d(x: Image, w: Array, y: Array, conv: Convolution, epilogue: EpilogueArguments) -> None:
    x = array_of(x)
    check_aligned(x, w)
    pixels = conv.n * conv.oh * conv.ow
    tiling = choose_tiling(pixels, conv.small, _is_narrow(conv))
    rows, columns = TILINGS[tiling]
    tiles = blocks(pixels, rows), blocks(conv.small, columns)
    steps = conv.kh * conv.kw * blocks(conv.big, TERMS)
    operands = struct(conv), x, w
    split_k.launch_with_epilogue(f"conv2d_mma<{tiling}>", tiles, steps, operands, y, epilogue)


def conv2d_input_grad(
    gy: Image, w: Array, gx: Array, conv: Convolution, epilogue: EpilogueArguments
) -> None:
    gy = array_of(gy)
    check_aligned(gy, w)
    n, stride = conv.n, conv.stride
    tiling = choose_tiling(n * conv.h * conv.w, conv.big, _is_narrow(conv))
    rows, columns = TILINGS[tiling]
    # Which taps reach a pixel depends on its row and column modulo the stride. The pixels of a tile
    # have the same remainders.
    down, across = ([len(range(r, s, stride)) for r in range(stride)] for s in (conv.h, conv.w))
    tiles = sum(blocks(n * h * v, rows) for h in down for v in across), blocks(conv.big, columns)
    steps = blocks(conv.kh, stride) * blocks(conv.kw, stride) * blocks(conv.small, TERMS)
    expression, operands = f"conv2d_input_grad_mma<{tiling}>", (struct(conv), gy, w)
    split_k.launch_with_epilogue(expression, tiles, steps, operands, gx, epilogue)


def conv2d_weight_grad(x: Image, gy: Image, gw: Array, conv: Convolution) -> None:
    x, gy = array_of(x), array_of(gy)
    check_aligned(x, gy)
    tiling = choose_tiling(conv.small, conv.big, _is_narrow(conv))
    columns, rows = TILINGS[tiling]  # this kernel turns the tile
    tiles = conv.kh * conv.kw * blocks(conv.big, rows), blocks(conv.small, columns)
    parts = split_k.parts(math.prod(tiles), blocks(conv.n * conv.oh * conv.ow, TERMS))
    expression, operands = f"conv2d_weight_grad_mma<{tiling}>", (struct(conv), x, gy)
    split_k.launch_in_parts(expression, tiles, parts, operands, gw)


def choose_tiling(rows: int, columns: int, narrow: bool) -> str:
    """The tiling for a result of so many rows and columns.

    Large tiles read their operands less often, but keep a GPU busy only where the result is large.
    """
    if narrow:
        return "NarrowMedium" if tf32.is_allowed() else "NarrowPrecise"
    if not tf32.is_allowed():
        return "Precise"
    m, n = TILINGS["Large"]
    large = columns >= n and blocks(rows, m) * blocks(columns, n) >= split_k.FULL
    return "Large" if large else "Medium"


def _is_narrow(conv: Convolution) -> bool:
    """Whether channels do not come in fours, so that numbers are copied one by one."""
    return conv.big % CHUNK != 0 or conv.small % CHUNK != 0
