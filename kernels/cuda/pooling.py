"""Max pooling on the GPU, a thread for each element; see `minispiral.kernels.pooling`."""

import numpy as np

from .launch import Array, blocks, ctype, empty, launch
from .table import declare

_THREADS = 256

for t, registers in (("float", 40), ("double", 48)):
    declare("pooling.cu", f"max_pool2d<{t}>", registers=registers)
    declare("pooling.cu", f"max_pool2d_grad<{t}>", registers=registers)


def max_pool2d(x: Array, out_hw: tuple[int, int], size: int, stride: int) -> tuple[Array, Array]:
    n, h, w, c = x.shape
    y, argmax = empty((n, *out_hw, c), x.dtype), empty((n, *out_hw, c), np.int32)
    sizes = map(np.int32, (h, w, c, *out_hw, size, stride, y.size))
    grid = (blocks(y.size, _THREADS),)
    launch(f"max_pool2d<{ctype(x.dtype)}>", grid, x, *sizes, y, argmax)
    return y, argmax


def max_pool2d_grad(
    gy: Array, argmax: Array, in_hw: tuple[int, int], size: int, stride: int
) -> Array:
    n, oh, ow, c = gy.shape
    gx = empty((n, *in_hw, c), gy.dtype)
    sizes = map(np.int32, (*in_hw, c, oh, ow, size, stride, gx.size))
    grid = (blocks(gx.size, _THREADS),)
    launch(f"max_pool2d_grad<{ctype(gy.dtype)}>", grid, gy, argmax, *sizes, gx)
    return gx
