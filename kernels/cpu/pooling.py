"""Max pooling in NumPy, tap by tap; see `minispiral.kernels.pooling`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import parallel

Array = NDArray[Any]


def max_pool2d(x: Array, out_hw: tuple[int, int], size: int, stride: int) -> tuple[Array, Array]:
    n, c, (oh, ow) = len(x), x.shape[-1], out_hw
    y = parallel.empty((n, oh, ow, c), x.dtype)
    argmax = parallel.empty((n, oh, ow, c), np.int32)

    def work(tile: tuple[int, slice]) -> None:
        b, rows = tile
        best, where = y[b, rows], argmax[b, rows]
        part = x[b, stride * rows.start :]
        best[...] = _tap(part, 0, 0, stride, len(best), ow)
        where[...] = 0
        for k in range(1, size * size):
            tap = _tap(part, *divmod(k, size), stride, len(best), ow)
            larger = tap > best
            # no masked copies: they take several times as long
            np.maximum(best, tap, out=best)
            np.maximum(where, larger * np.int32(k), out=where)

    parallel.run(work, [(b, rows) for b in range(n) for rows in parallel.row_tiles(oh, ow * c)])
    return y, argmax


def max_pool2d_grad(
    gy: Array, argmax: Array, in_hw: tuple[int, int], size: int, stride: int
) -> Array:
    n, oh, ow, c = gy.shape
    gx = parallel.empty((n, *in_hw, c), gy.dtype)

    def work(b: int) -> None:
        gx[b] = 0
        for k in range(size * size):
            tap = _tap(gx[b], *divmod(k, size), stride, oh, ow)
            tap += np.where(argmax[b] == k, gy[b], 0)

    parallel.run(work, range(n))
    return gx


def _tap(image: Array, p: int, q: int, stride: int, oh: int, ow: int) -> Array:
    """Tap ``(p, q)`` of every window of an image ``(h, w, c)``: a view ``(oh, ow, c)``."""
    return image[p : p + stride * oh : stride, q : q + stride * ow : stride][:oh, :ow]
