"""Threads share the channels of a convolution: for weights larger than a core's cache.

In a network's inner layers the weights are larger than the images. The windows of many images are
gathered once, by all threads together, and each thread multiplies them by some columns of the
weights, so that all weights are read once.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..shapes import Convolution
from . import im2col, parallel
from .col2im import fold
from .epilogues import Finish
from .im2col import Tile

Array = NDArray[Any]

_SHARED_WINDOWS = 6_000_000  # elements of the windows worked on at once
_COLUMNS = 256  # channels that are multiplied at once
_ROWS = 768  # rows of a weight gradient that are computed at once


def accepts(conv: Convolution) -> bool:
    return True


def conv2d(windows: Array, weights: Array, y: Array, finish: Finish) -> list[tuple[Any, ...]]:
    """``y = windows @ weights``, some columns at a time; returns what ``finish`` returned."""
    small = weights.shape[1]

    def multiply(rows: Array, out: Array, k: slice) -> Any:
        np.matmul(rows, weights[:, k], out=out[:, k])
        return finish(out[:, k], k)

    parts = []
    for images, rows in _gathered_groups(windows):
        out = y[images].reshape(-1, small)
        parts.append(parallel.run(partial(multiply, rows, out), parallel.slices(small, _COLUMNS)))
    return list(zip(*parts, strict=True))


def conv2d_weight_grad(windows: Array, gy: Array, gw: Array) -> None:
    """``gw = windows.T @ gy``, some rows at a time."""

    def multiply(rows: Array, g: Array, first: bool, taps: slice) -> None:
        if first:
            np.matmul(rows[:, taps].T, g, out=gw[taps])
        else:
            gw[taps] += np.matmul(rows[:, taps].T, g)

    for images, rows in _gathered_groups(windows):
        g = gy[images].reshape(-1, gw.shape[1])
        share = partial(multiply, rows, g, images.start == 0)
        parallel.run(share, parallel.even_slices(len(gw), _ROWS))


def conv2d_input_grad(
    gy: Array, w: Array, gx: Array, conv: Convolution, finish: Finish
) -> list[tuple[Any, ...]]:
    """``gx = fold(gy @ weights.T)``, some channels at a time; returns what ``finish`` returned."""
    gy = np.ascontiguousarray(gy)
    taps = np.ascontiguousarray(w).swapaxes(2, 3)  # (kh, kw, small, big)

    def scatter(images: slice, c: slice) -> Any:
        g, columns, out = gy[images].reshape(-1, conv.small), taps[..., c], gx[images, ..., c]
        products = parallel.scratch((conv.kh, conv.kw, len(g), columns.shape[-1]), gy.dtype)
        np.matmul(g, columns, out=products)
        products = products.reshape(conv.kh, conv.kw, -1, conv.oh, conv.ow, columns.shape[-1])
        fold(products.transpose(2, 3, 4, 0, 1, 5), out, conv.stride)
        return finish(out, c)

    groups = _image_groups(conv.n, conv.oh * conv.ow * conv.kh * conv.kw * conv.big)
    channels = parallel.even_slices(conv.big, _COLUMNS)
    parts = [parallel.run(partial(scatter, images), channels) for images in groups]
    return list(zip(*parts, strict=True))


def _gathered_groups(windows: Array) -> Iterator[tuple[slice, Array]]:
    """The windows of a group of images at a time, as rows, gathered by all threads together."""
    n, oh, ow, kh, row = windows.shape
    for images in _image_groups(n, oh * ow * kh * row):
        view = windows[images]
        rows = parallel.empty(view.shape, view.dtype)
        parallel.run(partial(_copy_tile, view, rows), im2col.tiles(view.shape))
        yield images, rows.reshape(-1, kh * row)


def _image_groups(n: int, size: int) -> list[slice]:
    """``n`` images in groups whose windows, ``size`` elements an image, are worked on at once."""
    return parallel.slices(n, max(1, _SHARED_WINDOWS // size))


def _copy_tile(source: Array, target: Array, tile: Tile) -> None:
    np.copyto(target[tile], source[tile])
