"""Threads share the pixels of a convolution: for weights that fit in a core's cache.

The windows of a few rows of the image are gathered into a buffer that stays in cache and are
multiplied at once.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..shapes import Convolution
from . import im2col, parallel
from .col2im import fold
from .epilogues import Finish
from .im2col import Tile, gather

Array = NDArray[Any]

_CACHED_WEIGHTS = 600_000  # elements
_PARTIAL_SUMS = 8  # of a weight gradient; for any number of threads, so that its bits are the same


def accepts(conv: Convolution) -> bool:
    return math.prod(conv.weight_shape) <= _CACHED_WEIGHTS


def conv2d(windows: Array, weights: Array, y: Array, finish: Finish) -> list[list[Any]]:
    """``y = windows @ weights``, tile by tile; returns what ``finish`` returned."""
    small = weights.shape[1]

    def multiply(tile: Tile) -> Any:
        out = y[tile].reshape(-1, small)
        np.matmul(gather(windows, tile), weights, out=out)
        return finish(out)

    return [parallel.run(multiply, im2col.tiles(windows.shape))]


def conv2d_weight_grad(windows: Array, gy: Array, gw: Array) -> None:
    """``gw = windows.T @ gy``: the sum of the products of the tiles, in a fixed order."""
    small = gw.shape[1]

    def sum_tiles(tiles: list[Tile]) -> Array:
        total = parallel.empty(gw.shape, gw.dtype)
        product = parallel.scratch(gw.shape, gw.dtype, "product")
        for i, tile in enumerate(tiles):
            rows = gather(windows, tile)
            np.matmul(rows.T, gy[tile].reshape(-1, small), out=product if i else total)
            if i:
                total += product
        return total

    tiles = im2col.tiles(windows.shape)
    shares = parallel.slices(len(tiles), -(-len(tiles) // _PARTIAL_SUMS))
    totals = parallel.run(sum_tiles, [tiles[share] for share in shares])
    np.copyto(gw, totals[0])
    for total in totals[1:]:
        gw += total


def conv2d_input_grad(
    gy: Array, w: Array, gx: Array, conv: Convolution, finish: Finish
) -> list[list[Any]]:
    """``gx = fold(gy @ weights.T)``, tile by tile; returns what ``finish`` returned.

    A tile of gy reaches ``kh - stride`` rows into the tile below. These rows are kept apart until
    both tiles are done, so that no two threads write to the same row.
    """
    gy = np.ascontiguousarray(gy)
    weights = w.reshape(-1, conv.small)  # (kh*kw*big, small)
    stride = conv.stride
    overlap = max(conv.kh - stride, 0)
    shape = (conv.n, conv.oh, conv.ow, conv.kh, conv.kw * conv.big)
    tiles = im2col.tiles(shape, overlap // stride + 1)
    borders = sorted({tile.rows.stop for tile in tiles})[:-1] if overlap else []
    beyond = parallel.empty((len(borders), conv.n, overlap, conv.w, conv.big), gy.dtype)

    def scatter(tile: Tile) -> Any:
        g = gy[tile]
        products = parallel.scratch((*g.shape[:3], conv.kh, conv.kw, conv.big), gy.dtype)
        np.matmul(g.reshape(-1, conv.small), weights.T, out=products.reshape(-1, len(weights)))
        start, stop = stride * tile.rows.start, stride * tile.rows.stop
        out = gx[tile.images, start : conv.h if tile.rows.stop == conv.oh else stop]
        fold(products, out, stride)
        if tile.rows.stop in borders:
            below = beyond[borders.index(tile.rows.stop), tile.images]
            fold(products, below, stride, g.shape[1])
        return finish(out[:, overlap if start else 0 :])

    def add_beyond(border: int) -> Any:
        start = stride * borders[border]
        rows = gx[:, start : start + overlap]
        rows += beyond[border]
        return finish(rows)

    return [parallel.run(scatter, tiles) + parallel.run(add_beyond, range(len(borders)))]
