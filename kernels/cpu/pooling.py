"""Max pooling without padding: the largest value under a square window, and where it was."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..shapes import check_pooled, pooled_hw
from . import parallel

Array = NDArray[Any]


def max_pool2d(x: Array, size: int, stride: int) -> tuple[Array, Array]:
    """``y[n,a,b,c] = max_ij x[n, stride*a+i, stride*b+j, c]`` with ``i, j < size``.

    ``x`` is ``(n, h, w, c)``; ``y`` and ``argmax`` are ``(n, oh, ow, c)`` with
    ``oh = (h - size) // stride + 1``. ``argmax`` (int32) is ``i*size + j`` of the first maximum.
    ValueError where the window does not fit.
    """
    if x.ndim != 4:
        raise ValueError(f"expected an image (n, h, w, c), got shape {x.shape}")
    n, h, w, c = x.shape
    oh, ow = pooled_hw((h, w), size, stride)
    y = parallel.empty((n, oh, ow, c), x.dtype)
    argmax = parallel.empty((n, oh, ow, c), np.int32)

    def work(tile: tuple[int, slice]) -> None:
        image, rows = tile
        best, where = y[image, rows], argmax[image, rows]
        part = x[:, stride * rows.start :]
        best[...] = _tap(part, image, 0, 0, stride, len(best), ow)
        where[...] = 0
        for k in range(1, size * size):
            tap = _tap(part, image, *divmod(k, size), stride, len(best), ow)
            larger = tap > best
            # no masked copies: they take several times as long
            np.maximum(best, tap, out=best)
            np.maximum(where, larger * np.int32(k), out=where)

    tiles = [(image, rows) for image in range(n) for rows in parallel.row_tiles(oh, ow * c)]
    parallel.run(work, tiles)
    return y, argmax


def max_pool2d_grad(
    gy: Array, argmax: Array, in_hw: tuple[int, int], size: int, stride: int
) -> Array:
    """Send each ``gy (n, oh, ow, c)`` to the pixel of ``(n, *in_hw, c)`` its maximum came from."""
    n, oh, ow, c = check_pooled(gy, argmax, in_hw, size, stride)
    gx = parallel.empty((n, *in_hw, c), gy.dtype)

    def work(image: int) -> None:
        gx[image] = 0
        for k in range(size * size):
            tap = _tap(gx, image, *divmod(k, size), stride, oh, ow)
            tap += np.where(argmax[image] == k, gy[image], 0)

    parallel.run(work, range(n))
    return gx


def _tap(x: Array, image: int, i: int, j: int, stride: int, oh: int, ow: int) -> Array:
    """The pixel ``(i, j)`` of every window of one image, ``(oh, ow, c)``."""
    return x[image, i : i + stride * oh : stride, j : j + stride * ow : stride][:oh, :ow]
