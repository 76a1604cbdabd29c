"""Two-dimensional convolution on the GPU; the formulas are in `minispiral.kernels.conv2d`.

Each function has kernels of three kinds, and the shapes decide which one runs:

- float32 images go to the tensor cores, which round to 10 bits of fraction. By default each number
  is therefore split in two of that kind, which costs three products instead of one and leaves the
  result as exact as in float32. With ``tf32`` it is rounded: a relative error of about 3e-4.
- Where the larger image has few channels, memory is the limit, and kernels of their own keep to it.
- All of float64, few channels on both sides, and GPUs without tensor cores: plain kernels.

The first two copy 16 bytes at once where channels come in multiples of four, and 4 bytes elsewhere.
"""

import math
from typing import Any

import numpy as np

from ..shapes import check_dtypes, check_output, check_vectors, check_weights, output_hw
from . import batchnorm
from .launch import Array, blocks, ctype, empty, gpu, launch
from .rows import SHARED_DOUBLE, block_of, grid_of
from .table import declare

# How the kernels on tensor cores tile their results: rows and columns of a block's tile.
TILINGS = {
    "Large": (128, 128),
    "Medium": (128, 64),
    "Precise": (128, 64),
    "NarrowMedium": (128, 64),
    "NarrowPrecise": (128, 64),
}
TERMS = 16  # of the sums, that a step of a block takes
_STAGES = 4  # steps whose tiles are in shared memory

# Where the larger image of a convolution has few channels, other kernels are quicker.
FEW = 7
MOST_TERMS = 64  # places in the kernel times channels, that they can take

_THREADS = 256
_FULL = 256  # blocks that keep a large GPU busy
_FEWEST_STEPS = 8  # of a block, for it to be worth its start
_TOGETHER = 4  # numbers that are copied at once where channels come in multiples of it
_LANES = 8  # that make pixels together where the larger image has few channels
_MOST_GROUPED = 2048  # blocks of them: as many parts have the moments

# The struct that the kernels take their sizes in.
_SIZES = ("n", "h", "w", "big", "small", "kh", "kw", "oh", "ow", "stride", "pad")
_CONVOLUTION = np.dtype([(name, np.int32) for name in _SIZES])

for t, registers in (("float", 40), ("double", 48)):
    for name in ("conv2d", "conv2d_input_grad", "conv2d_weight_grad", "sum_parts"):
        declare("conv2d.cu", f"{name}<{t}>", registers=registers)

# Floats of all terms of 128 pixels and 64 channels; of 32 pixels with 64 terms and channels.
declare("conv2d_few.cu", "conv2d_few", shared=4 * MOST_TERMS * (128 + 64), registers=64)
declare(
    "conv2d_few.cu", "conv2d_weight_grad_few", shared=4 * 32 * (MOST_TERMS + 64), registers=64
)
for big in range(1, FEW + 1):
    declare(
        "conv2d_few.cu",
        f"conv2d_input_grad_few<{big}>",
        shared=3 * SHARED_DOUBLE,
        registers=64 if big <= 4 else 80,
    )

declare("conv2d_mma.cu", "finish_parts", shared=3 * SHARED_DOUBLE, registers=48)
for tiling, (m, n) in TILINGS.items():
    # Floats of a step's two tiles, with what rows are padded by: see matrix_product.cuh.
    together, apart = TERMS + 4, 8
    for name, floats in (
        ("conv2d", m * together + TERMS * (n + apart)),
        ("conv2d_input_grad", (m + n) * together),
        ("conv2d_weight_grad", TERMS * (m + apart + n + apart)),
    ):
        declare(
            "conv2d_mma.cu", f"{name}_mma<{tiling}>", shared=4 * _STAGES * floats, registers=128
        )


class _Epilogue:
    """What a kernel does to the output in its registers; see ``epilogue.cuh``."""

    def __init__(
        self, out: Array, moments: bool = False, scale_shift: tuple[Array, Array] | None = None
    ) -> None:
        if scale_shift is not None:
            check_vectors(out, *scale_shift)
            check_dtypes(out, *scale_shift)
        self.out, self.moments = out, moments
        no_vectors = (empty((0,), out.dtype),) * 2
        self.scaling = np.bool_(scale_shift is not None), *(scale_shift or no_vectors)
        self.parts: Array | None = None  # of the moments

    def arguments(self, tiles: int) -> tuple[Any, ...]:
        """For a kernel whose blocks make so many tiles of pixels."""
        self.parts = empty((tiles if self.moments else 0, self.out.shape[-1], 3), np.float64)
        return *self.scaling, np.bool_(self.moments), self.parts

    def result(self) -> Any:
        """The output, and the moments if wanted: by a pass of their own where no kernel did."""
        if not self.moments:
            return self.out
        if self.parts is None:
            return self.out, *batchnorm.moments(self.out)
        return self.out, *batchnorm.merged_moments(self.parts, self.out.dtype)


def conv2d(
    x: Array,
    w: Array,
    stride: int = 1,
    pad: int = 0,
    moments: bool = False,
    scale_shift: tuple[Array, Array] | None = None,
    tf32: bool = False,
) -> Any:
    """Slide the kernel over the image: ``x (n, h, w, big)`` to ``y (n, oh, ow, small)``.

    Two things can be done while the output is in registers. With ``scale_shift``, two vectors
    ``(small,)``, it becomes ``max(scale * y + shift, 0)``. With ``moments`` the result is
    ``(y, mean, var)``. ValueError for shapes that do not fit.
    """
    kh, kw, big, small = check_weights(w)
    check_dtypes(x, w)
    if x.ndim != 4 or x.shape[-1] != big:
        raise ValueError(f"expected an image (n, h, w, {big}), got shape {x.shape}")
    n, h, v, _ = x.shape
    oh, ow = output_hw((h, v), (kh, kw), stride, pad)
    sizes = _struct(n, h, v, big, small, kh, kw, oh, ow, stride, pad)
    y = empty((n, oh, ow, small), x.dtype)
    epilogue = _Epilogue(y, moments, scale_shift)
    pixels, kind = n * oh * ow, _kind(x, w.shape)
    if kind == "few":
        tiles = blocks(pixels, 128), blocks(small, 64)
        launch("conv2d_few", tiles, sizes, x, w, y, *epilogue.arguments(tiles[0]))
    elif kind == "mma":
        tiling = _tiling(pixels, small, tf32, _is_narrow(w.shape))
        tiles = blocks(pixels, TILINGS[tiling][0]), blocks(small, TILINGS[tiling][1])
        steps = kh * kw * blocks(big, TERMS)
        _multiply(f"conv2d_mma<{tiling}>", tiles, steps, (sizes, x, w), y, epilogue)
    else:
        grid = (blocks(y.size, _THREADS),)
        scaling = epilogue.scaling
        launch(f"conv2d<{ctype(x.dtype)}>", grid, sizes, x, w, np.int32(y.size), y, *scaling)
    return epilogue.result()


def conv2d_input_grad(
    gy: Array,
    w: Array,
    out_hw: tuple[int, int],
    stride: int = 1,
    pad: int = 0,
    moments: bool = False,
    scale_shift: tuple[Array, Array] | None = None,
    tf32: bool = False,
) -> Any:
    """The adjoint of `conv2d`: ``gy (n, oh, ow, small)`` to ``gx (n, *out_hw, big)``.

    For ``moments`` and ``scale_shift (big,)`` see `conv2d`. ValueError for shapes that do not fit.
    """
    kh, kw, big, small = check_weights(w)
    check_dtypes(gy, w)
    n, (h, v) = gy.shape[0], out_hw
    oh, ow = output_hw((h, v), (kh, kw), stride, pad)
    check_output(gy, (n, oh, ow))
    if gy.shape[-1] != small:
        raise ValueError(f"gy {gy.shape} has {gy.shape[-1]} channels, the weights give {small}")
    sizes = _struct(n, h, v, big, small, kh, kw, oh, ow, stride, pad)
    gx = empty((n, h, v, big), gy.dtype)
    epilogue = _Epilogue(gx, moments, scale_shift)
    kind = _kind(gy, w.shape)
    if kind == "few":
        _check_aligned(gy, w)
        groups, block = n * blocks(h, stride) * blocks(v, stride), (_LANES, _THREADS // _LANES)
        count = min(blocks(groups, block[1]), _MOST_GROUPED)
        arguments = sizes, gy, w, gx, *epilogue.arguments(count)
        launch(f"conv2d_input_grad_few<{big}>", (count,), *arguments, block=block)
    elif kind == "mma":
        tiling = _tiling(n * h * v, big, tf32, _is_narrow(w.shape))
        rows, columns = TILINGS[tiling]
        # Pixels meet different places in the kernel by the remainders of their row and column.
        down, across = ([len(range(r, side, stride)) for r in range(stride)] for side in out_hw)
        tiles = sum(blocks(n * a * b, rows) for a in down for b in across)
        steps = blocks(kh, stride) * blocks(kw, stride) * blocks(small, TERMS)
        name = f"conv2d_input_grad_mma<{tiling}>"
        _multiply(name, (tiles, blocks(big, columns)), steps, (sizes, gy, w), gx, epilogue)
    else:
        grid = (blocks(gx.size, _THREADS),)
        arguments = sizes, gy, w, np.int32(gx.size), gx, *epilogue.scaling
        launch(f"conv2d_input_grad<{ctype(gy.dtype)}>", grid, *arguments)
    return epilogue.result()


def conv2d_weight_grad(
    x: Array,
    gy: Array,
    kernel_hw: tuple[int, int],
    stride: int = 1,
    pad: int = 0,
    tf32: bool = False,
) -> Array:
    """Gradient of the weights, ``(kh, kw, big, small)``; see the NumPy twin.

    ValueError for shapes that do not fit.
    """
    if x.ndim != 4:
        raise ValueError(f"expected an image (n, h, w, big), got shape {x.shape}")
    check_dtypes(x, gy)
    (n, h, v, big), (kh, kw), small = x.shape, kernel_hw, gy.shape[-1]
    oh, ow = output_hw((h, v), kernel_hw, stride, pad)
    check_output(gy, (n, oh, ow))
    sizes = _struct(n, h, v, big, small, kh, kw, oh, ow, stride, pad)
    gw = empty((kh, kw, big, small), x.dtype)
    pixels, kind = n * oh * ow, _kind(x, gw.shape)
    if kind == "few":
        across = blocks(small, 64)
        parts = _parts(across, blocks(pixels, 32))
        _in_parts("conv2d_weight_grad_few", (across,), parts, (sizes, x, gy), gw)
    elif kind == "mma":
        tiling = _tiling(small, big, tf32, _is_narrow(gw.shape))
        columns, rows = TILINGS[tiling]  # this kernel turns the tile
        tiles = kh * kw * blocks(big, rows), blocks(small, columns)
        steps = blocks(pixels, TERMS)
        _check_aligned(x, gy)
        parts = _parts(math.prod(tiles), steps)
        _in_parts(f"conv2d_weight_grad_mma<{tiling}>", tiles, parts, (sizes, x, gy), gw)
    else:
        across = blocks(gw.size, _THREADS)
        # The images' rows are shared among as many blocks as it takes to keep the GPU busy.
        parts = min(n * oh, max(1, 4 * _FULL // across), 2 * _FULL)
        name = f"conv2d_weight_grad<{ctype(x.dtype)}>"
        _in_parts(name, (across,), parts, (sizes, x, gy, np.int32(gw.size)), gw)
    return gw


def _multiply(
    name: str,
    tiles: tuple[int, int],
    steps: int,
    operands: tuple[Any, ...],
    out: Array,
    epilogue: _Epilogue,
) -> None:
    """Run a kernel of ``conv2d_mma.cu``; blocks share long sums where there are few tiles."""
    _check_aligned(*operands[1:])
    parts = _parts(math.prod(tiles), steps)
    if parts == 1:
        launch(name, (*tiles, 1), *operands, out, *epilogue.arguments(tiles[0]))
        return
    sums = empty((parts, out.size), out.dtype)
    launch(name, (*tiles, parts), *operands, sums, *_Epilogue(out).arguments(0))
    c = out.shape[-1]
    m = out.size // c
    grid, sizes = grid_of(m, c, rows_per_thread=1), map(np.int32, (parts, m, c))
    ending = epilogue.arguments(grid[1])
    launch("finish_parts", grid, sums, *sizes, out, *ending, block=block_of(c))


def _in_parts(
    name: str, tiles: tuple[int, ...], parts: int, operands: tuple[Any, ...], gw: Array
) -> None:
    """Run a kernel whose blocks leave ``parts`` parts of the sums, and sum these."""
    sums = gw if parts == 1 else empty((parts, gw.size), gw.dtype)
    launch(name, (*tiles, parts), *operands, sums)
    if parts > 1:
        grid = (blocks(gw.size, _THREADS),)
        name = f"sum_parts<{ctype(gw.dtype)}>"
        launch(name, grid, sums, np.int32(parts), np.int32(gw.size), gw)


def _parts(tiles: int, steps: int) -> int:
    """Into how many parts sums of ``steps`` steps are cut."""
    return max(1, min(_FULL // max(tiles, 1), steps // _FEWEST_STEPS))


def _tiling(rows: int, columns: int, tf32: bool, narrow: bool = False) -> str:
    """Large tiles read their operands less often, and need large results to go round."""
    if narrow:
        return "NarrowMedium" if tf32 else "NarrowPrecise"
    if not tf32:
        return "Precise"
    m, n = TILINGS["Large"]
    return "Large" if columns >= n and blocks(rows, m) * blocks(columns, n) >= _FULL else "Medium"


def _kind(x: Array, weights: tuple[int, ...]) -> str:
    """Which kernels a convolution runs: ``few``, ``mma`` or ``plain``."""
    kh, kw, big, small = weights
    if x.dtype != np.float32 or (big <= FEW and small < _TOGETHER):
        return "plain"
    if big <= FEW and kh * kw * big <= MOST_TERMS:
        return "few"
    return "mma" if gpu().has_tensor_cores() else "plain"


def _is_narrow(weights: tuple[int, ...]) -> bool:
    """Whether rows of channels begin amidst 16 bytes."""
    return any(channels % _TOGETHER != 0 for channels in weights[2:])


def _check_aligned(*arrays: Array) -> None:
    """Kernels read 16 bytes at once if channels come in fours, wherever the arrays begin."""
    if any(array.shape[-1] % _TOGETHER != 0 for array in arrays):
        return
    for array in arrays:
        if gpu().address(array) % 16 != 0:
            raise ValueError(
                f"the array of shape {array.shape} begins amidst 16 bytes, as a part of a larger "
                "array can: copy it, or begin parts at multiples of four numbers"
            )


def _struct(*sizes: int) -> Any:
    return np.array(sizes, _CONVOLUTION)
