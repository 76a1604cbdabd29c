"""Max pooling on the GPU; the formulas are in `minispiral.kernels.pooling`."""

import numpy as np

from ..shapes import check_pooled, pooled_hw
from .launch import Array, blocks, ctype, empty, launch
from .table import declare

_THREADS = 256

for t, registers in (("float", 40), ("double", 48)):
    declare("pooling.cu", f"max_pool2d<{t}>", registers=registers)
    declare("pooling.cu", f"max_pool2d_grad<{t}>", registers=registers)


def max_pool2d(x: Array, size: int, stride: int) -> tuple[Array, Array]:
    """``y`` and ``argmax (n, oh, ow, c)`` of ``x (n, h, w, c)``; see the NumPy twin."""
    if x.ndim != 4:
        raise ValueError(f"expected an image (n, h, w, c), got shape {x.shape}")
    n, h, w, c = x.shape
    oh, ow = pooled_hw((h, w), size, stride)
    y, argmax = empty((n, oh, ow, c), x.dtype), empty((n, oh, ow, c), np.int32)
    sizes = map(np.int32, (h, w, c, oh, ow, size, stride, y.size))
    grid = (blocks(y.size, _THREADS),)
    launch(f"max_pool2d<{ctype(x.dtype)}>", grid, x, *sizes, y, argmax)
    return y, argmax


def max_pool2d_grad(
    gy: Array, argmax: Array, in_hw: tuple[int, int], size: int, stride: int
) -> Array:
    """Send each ``gy (n, oh, ow, c)`` to the pixel of ``(n, *in_hw, c)`` its maximum came from."""
    n, oh, ow, c = check_pooled(gy, argmax, in_hw, size, stride)
    gx = empty((n, *in_hw, c), gy.dtype)
    sizes = map(np.int32, (*in_hw, c, oh, ow, size, stride, gx.size))
    grid = (blocks(gx.size, _THREADS),)
    launch(f"max_pool2d_grad<{ctype(gy.dtype)}>", grid, gy, argmax, *sizes, gx)
    return gx
