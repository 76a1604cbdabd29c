"""Convolution on the tensor cores, for float32.

Tensor cores take factors of 10 bits of fraction (TF32). By default each factor is therefore split
into two such numbers, which takes three products instead of one and leaves the result as exact as
in float32. Where `minispiral.kernels.cuda.tf32` allows it, factors are rounded instead.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ..normalized import Image
from ..shapes import Convolution
from . import split_k, tf32
from .conv2d_few import FEW
from .convolution import CHUNK, check_aligned, no_vectors, struct, to_read
from .epilogues import EpilogueArguments
from .launch import Array, blocks, gpu
from .table import declare

TERMS = 16  # of the sums, that a block adds in one step
_STAGES = 4  # steps whose tiles are in shared memory


class Tiling(NamedTuple):
    """How a block divides the result; see matrix_product.cuh."""

    rows: int  # of a block's tile
    columns: int
    warp_columns: int  # of a warp's tile, which has 64 rows

    @property
    def threads(self) -> int:
        return 32 * self.rows // 64 * self.columns // self.warp_columns

    @property
    def shared(self) -> int:
        """Bytes of shared memory."""
        return 4 * _STAGES * TERMS * (self.rows + self.columns)

    def block(self, products: int) -> split_k.Block:
        """What a block takes, with so many products of a tensor core for one.

        Clocks of an H100: a tensor core adds 650 products in one, an SM has 23 bytes of L2 in one.
        """
        tile = self.rows * self.columns
        from_l2 = 4 * TERMS * (self.rows + self.columns) / 23
        step = max(products * TERMS * tile / 650, from_l2)
        return split_k.Block(256 // self.threads, step, 0.15 * tile, 4 * tile)

    def tiles(self, rows: Sequence[int], columns: int) -> tuple[int, int]:
        """How many cover a result that has parts of so many rows."""
        return sum(blocks(part, self.rows) for part in rows), blocks(columns, self.columns)


TILINGS = {
    "Large": Tiling(256, 128, 64),
    "Tall": Tiling(256, 64, 64),
    "Small": Tiling(128, 64, 32),
    "Precise": Tiling(128, 64, 32),
    "NarrowSmall": Tiling(128, 64, 32),
    "NarrowPrecise": Tiling(128, 64, 32),
}
# Those that are chosen from, for channels in fours and others.
_CANDIDATES = {
    (True, False): ("Large", "Tall", "Small"),
    (True, True): ("NarrowSmall",),
    (False, False): ("Precise",),
    (False, True): ("NarrowPrecise",),
}
_FOR_WEIGHTS = {"Tall": "Small"}  # whose threads each copy channels of one tap only

# Which operand is normalised as it is read, as template argument.
_NONE, _IMAGE, _X, _GY = "", ", true", ", x_normalized", ", gy_normalized"

for name, tiling in TILINGS.items():
    for kernel, normalized in (
        ("conv2d_mma", (_NONE, _IMAGE)),
        ("conv2d_input_grad_mma", (_NONE, _IMAGE)),
        ("conv2d_weight_grad_mma", (_NONE, _X, _GY)),
    ):
        if kernel == "conv2d_weight_grad_mma" and name in _FOR_WEIGHTS:
            continue
        for which in normalized[:1] if name.startswith("Narrow") else normalized:
            declare(
                "conv2d_mma.cu",
                f"{kernel}<{name}{which}>",
                threads=tiling.threads,
                shared=tiling.shared,
                registers=255,
            )


def accepts(conv: Convolution, dtype: DTypeLike) -> bool:
    """Float32, tensor cores, and enough channels to be worth their tiles."""
    enough = conv.big > FEW or conv.small >= CHUNK
    return dtype == np.float32 and enough and gpu().has_tensor_cores()


def conv2d(x: Image, w: Array, y: Array, conv: Convolution, epilogue: EpilogueArguments) -> None:
    x, vectors = to_read(x, conv.big % TERMS == 0)
    check_aligned(x, w)
    rows = [conv.n * conv.oh * conv.ow]
    steps = _steps(conv.kh * conv.kw, conv.big, _is_narrow(conv))
    tiling = choose_tiling(rows, conv.small, steps, _is_narrow(conv))
    tiles, parts = _divide(tiling, rows, conv.small, steps)
    expression = f"conv2d_mma<{tiling}{_IMAGE if vectors else _NONE}>"
    operands = struct(conv), x, w, *(vectors or no_vectors())
    split_k.launch_with_epilogue(expression, tiles, parts, operands, y, epilogue)


def conv2d_input_grad(
    gy: Image, w: Array, gx: Array, conv: Convolution, epilogue: EpilogueArguments
) -> None:
    gy, vectors = to_read(gy, conv.small % TERMS == 0)
    check_aligned(gy, w)
    n, stride = conv.n, conv.stride
    # Which taps reach a pixel depends on its row and column modulo the stride. The pixels of a tile
    # have the same remainders.
    down, across = ([len(range(r, s, stride)) for r in range(stride)] for s in (conv.h, conv.w))
    rows = [n * h * v for h in down for v in across]
    taps = max(1, conv.kh * conv.kw // stride**2)  # on average
    steps = _steps(taps, conv.small, _is_narrow(conv))
    tiling = choose_tiling(rows, conv.big, steps, _is_narrow(conv))
    tiles, parts = _divide(tiling, rows, conv.big, steps)
    expression = f"conv2d_input_grad_mma<{tiling}{_IMAGE if vectors else _NONE}>"
    operands = struct(conv), gy, w, *(vectors or no_vectors())
    split_k.launch_with_epilogue(expression, tiles, parts, operands, gx, epilogue)


def conv2d_weight_grad(x: Image, gy: Image, gw: Array, conv: Convolution) -> None:
    narrow = _is_narrow(conv)
    x, of_x = to_read(x, not narrow)
    gy, of_gy = to_read(gy, not narrow and not of_x)
    check_aligned(x, gy)
    big = blocks(conv.big, CHUNK) * CHUNK if narrow else conv.big
    rows = [conv.kh * conv.kw * big]
    steps = blocks(conv.n * conv.oh * conv.ow, TERMS)
    tiling = choose_tiling(rows, conv.small, steps, narrow)
    tiling = _FOR_WEIGHTS.get(tiling, tiling)
    tiles, parts = _divide(tiling, rows, conv.small, steps)
    expression = f"conv2d_weight_grad_mma<{tiling}{_X if of_x else _GY if of_gy else _NONE}>"
    operands = struct(conv), x, gy, *(of_x or of_gy or no_vectors())
    split_k.launch_in_parts(expression, tiles, parts, operands, gw)


def choose_tiling(rows: Sequence[int], columns: int, steps: int, narrow: bool) -> str:
    """The tiling that takes least time for a result of ``columns`` and parts of so many ``rows``.

    Large tiles read their operands less often, but keep a GPU busy only where the result is large.
    """

    def clocks(name: str) -> float:
        block = TILINGS[name].block(_products())
        tiles, parts = _divide(name, rows, columns, steps)
        return split_k.clocks(math.prod(tiles), steps, parts, block)

    return min(_CANDIDATES[tf32.is_allowed(), narrow], key=clocks)


def _divide(
    tiling: str, rows: Sequence[int], columns: int, steps: int
) -> tuple[tuple[int, int], int]:
    """Tiles, and the parts of their sums."""
    tiles = TILINGS[tiling].tiles(rows, columns)
    return tiles, split_k.parts(math.prod(tiles), steps, TILINGS[tiling].block(_products()))


def _steps(taps: int, channels: int, narrow: bool) -> int:
    """Of sums over taps and channels; a step of a narrow tiling has channels of one tap."""
    return taps * blocks(channels, TERMS) if narrow else blocks(taps * channels, TERMS)


def _products() -> int:
    """Of TF32 numbers, for one product."""
    return 1 if tf32.is_allowed() else 3


def _is_narrow(conv: Convolution) -> bool:
    """Whether channels do not come in fours, so that numbers are copied one by one."""
    return conv.big % CHUNK != 0 or conv.small % CHUNK != 0
