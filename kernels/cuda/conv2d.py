"""Two-dimensional convolution on the GPU; the formulas are in `minispiral.kernels.conv2d`.

Each function has kernels of three kinds, and the shapes decide which one runs:

- float32 images whose channels come in multiples of four go to the tensor cores, which round to 10
  bits of fraction. By default each number is therefore split in two of that kind, which costs three
  products instead of one and leaves the result as exact as in float32. With ``tf32`` it is
  rounded: a relative error of about 3e-4.
- Where the larger image has few channels, memory is the limit, and kernels of their own keep to it.
- Anything else, and all of float64, goes to plain kernels.
"""

import math
from typing import Any

import numpy as np

from .. import launch as gpu
from ..launch import FEW, MOST_TERMS, TERMS, TILINGS, Array, blocks, ctype, empty, launch
from ..shapes import check_dtypes, check_output, check_weights, output_hw
from . import batchnorm

_THREADS = 256
_FULL = 256  # blocks that keep a large GPU busy
_FEWEST_STEPS = 8  # of a block, for it to be worth its start

# The struct that the kernels take their sizes in.
_SIZES = ("n", "h", "w", "big", "small", "kh", "kw", "oh", "ow", "stride", "pad")
_CONVOLUTION = np.dtype([(name, np.int32) for name in _SIZES])


def conv2d(
    x: Array, w: Array, stride: int = 1, pad: int = 0, moments: bool = False, tf32: bool = False
) -> Any:
    """Slide the kernel over the image: ``x (n, h, w, big)`` to ``y (n, oh, ow, small)``.

    With ``moments`` the result is ``(y, mean, var)``. ValueError for shapes that do not fit.
    """
    kh, kw, big, small = check_weights(w)
    check_dtypes(x, w)
    if x.ndim != 4 or x.shape[-1] != big:
        raise ValueError(f"expected an image (n, h, w, {big}), got shape {x.shape}")
    n, h, v, _ = x.shape
    oh, ow = output_hw((h, v), (kh, kw), stride, pad)
    sizes = _struct(n, h, v, big, small, kh, kw, oh, ow, stride, pad)
    y = empty((n, oh, ow, small), x.dtype)
    pixels, kind = n * oh * ow, _kind(x, w.shape)
    if kind == "few":
        launch("conv2d_few", (blocks(pixels, 128), blocks(small, 64)), sizes, x, w, y)
    elif kind == "mma":
        tiling = _tiling(pixels, small, tf32)
        tiles = blocks(pixels, TILINGS[tiling][0]), blocks(small, TILINGS[tiling][1])
        steps = kh * kw * blocks(big, TERMS)
        _multiply(f"conv2d_mma<{tiling}>", tiles, steps, (sizes, x, w), y)
    else:
        grid = (blocks(y.size, _THREADS),)
        launch(f"conv2d<{ctype(x.dtype)}>", grid, sizes, x, w, np.int32(y.size), y)
    return (y, *batchnorm.moments(y)) if moments else y


def conv2d_input_grad(
    gy: Array,
    w: Array,
    out_hw: tuple[int, int],
    stride: int = 1,
    pad: int = 0,
    moments: bool = False,
    tf32: bool = False,
) -> Any:
    """The adjoint of `conv2d`: ``gy (n, oh, ow, small)`` to ``gx (n, *out_hw, big)``.

    With ``moments`` the result is ``(gx, mean, var)``. ValueError for shapes that do not fit.
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
    kind = _kind(gy, w.shape)
    if kind == "few":
        _check_aligned(gy, w)
        groups = n * blocks(h, stride) * blocks(v, stride)  # of eight threads
        launch(f"conv2d_input_grad_few<{big}>", (blocks(8 * groups, _THREADS),), sizes, gy, w, gx)
    elif kind == "mma":
        tiling = _tiling(n * h * v, big, tf32)
        rows, columns = TILINGS[tiling]
        # Pixels meet different places in the kernel by the remainders of their row and column.
        down, across = ([len(range(r, side, stride)) for r in range(stride)] for side in out_hw)
        tiles = sum(blocks(n * a * b, rows) for a in down for b in across)
        steps = blocks(kh, stride) * blocks(kw, stride) * blocks(small, TERMS)
        name = f"conv2d_input_grad_mma<{tiling}>"
        _multiply(name, (tiles, blocks(big, columns)), steps, (sizes, gy, w), gx)
    else:
        grid = (blocks(gx.size, _THREADS),)
        launch(f"conv2d_input_grad<{ctype(gy.dtype)}>", grid, sizes, gy, w, np.int32(gx.size), gx)
    return (gx, *batchnorm.moments(gx)) if moments else gx


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
        tiling = _tiling(small, big, tf32)
        columns, rows = TILINGS[tiling]  # this kernel turns the tile
        tiles = kh * kw * blocks(big, rows), blocks(small, columns)
        steps = blocks(pixels, TERMS)
        _multiply(f"conv2d_weight_grad_mma<{tiling}>", tiles, steps, (sizes, x, gy), gw)
    else:
        across = blocks(gw.size, _THREADS)
        # The images' rows are shared among as many blocks as it takes to keep the GPU busy.
        parts = min(n * oh, max(1, 4 * _FULL // across), 2 * _FULL)
        name = f"conv2d_weight_grad<{ctype(x.dtype)}>"
        _in_parts(name, (across,), parts, (sizes, x, gy, np.int32(gw.size)), gw)
    return gw


def _multiply(
    name: str, tiles: tuple[int, int], steps: int, operands: tuple[Any, ...], out: Array
) -> None:
    """Run a kernel of ``conv2d_mma.cu``; blocks share long sums where there are few tiles."""
    _check_aligned(*operands[1:])
    _in_parts(name, tiles, _parts(math.prod(tiles), steps), operands, out)


def _in_parts(
    name: str, tiles: tuple[int, ...], parts: int, operands: tuple[Any, ...], out: Array
) -> None:
    """Run a kernel whose blocks leave ``parts`` parts of the sums, and sum these."""
    sums = out if parts == 1 else empty((parts, out.size), out.dtype)
    launch(name, (*tiles, parts), *operands, sums)
    if parts > 1:
        grid = (blocks(out.size, _THREADS),)
        name = f"sum_parts<{ctype(out.dtype)}>"
        launch(name, grid, sums, np.int32(parts), np.int32(out.size), out)


def _parts(tiles: int, steps: int) -> int:
    """Into how many parts sums of ``steps`` steps are cut."""
    return max(1, min(_FULL // max(tiles, 1), steps // _FEWEST_STEPS))


def _tiling(rows: int, columns: int, tf32: bool) -> str:
    """Large tiles read their operands less often, and need large results to go round."""
    if not tf32:
        return "Precise"
    m, n = TILINGS["Large"]
    return "Large" if columns >= n and blocks(rows, m) * blocks(columns, n) >= _FULL else "Medium"


def _kind(x: Array, weights: tuple[int, ...]) -> str:
    """Which kernels a convolution runs: ``few``, ``mma`` or ``plain``."""
    kh, kw, big, small = weights
    if x.dtype != np.float32 or small % 4 != 0:  # they copy 16 bytes at once
        return "plain"
    if big <= FEW and kh * kw * big <= MOST_TERMS:
        return "few"
    return "mma" if big % 4 == 0 and gpu.device().has_tensor_cores() else "plain"


def _check_aligned(*arrays: Array) -> None:
    """Kernels read 16 bytes at once. Where an array begins must not decide which kernel runs."""
    for array in arrays:
        if gpu.device().address(array) % 16 != 0:
            raise ValueError(
                f"the array of shape {array.shape} begins amidst 16 bytes, as a part of a larger "
                "array can: copy it, or begin parts at multiples of four numbers"
            )


def _struct(*sizes: int) -> Any:
    return np.array(sizes, _CONVOLUTION)
