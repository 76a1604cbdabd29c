"""im2col: the windows of an image under a kernel, as the rows of a matrix.

Windows overlap, so those of a batch would be as large as ``kh*kw`` batches at stride 1. Here they
are a view; only the tile that is worked on is written out.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from ..shapes import Convolution
from . import parallel

Array = NDArray[Any]

_TILE = 800_000  # elements of the windows in a tile
_NARROW = 16  # elements of a row below which a NumPy loop costs more than it does


class Tile(NamedTuple):
    """Some rows of some images; more than one image only with all their rows."""

    images: slice
    rows: slice


def windows(x: Array, conv: Convolution) -> Array:
    """The windows of ``x (n, h, w, big)``, zero-padded, as a view ``(n, oh, ow, kh, kw*big)``."""
    stride, pad = conv.stride, conv.pad
    if pad:
        padded = parallel.empty((conv.n, conv.h + 2 * pad, conv.w + 2 * pad, conv.big), x.dtype)
        padded[:, :pad] = padded[:, -pad:] = 0
        padded[:, pad:-pad, :pad] = padded[:, pad:-pad, -pad:] = 0
        padded[:, pad:-pad, pad:-pad] = x
        x = padded
    x = np.ascontiguousarray(x)
    sn, sh, sw, _ = x.strides
    shape = (conv.n, conv.oh, conv.ow, conv.kh, conv.kw * conv.big)
    strides = (sn, stride * sh, stride * sw, sh, x.itemsize)
    return as_strided(x, shape, strides, writeable=False)


def gather(windows: Array, tile: Tile) -> Array:
    """The windows of a tile as rows ``(pixels, kh*kw*big)`` in this thread's buffer.

    Windows of few channels are gathered tap by tap: NumPy's inner loop runs along the last axis,
    which would be too short.
    """
    view = windows[tile]
    kh, row = view.shape[3:]
    if row < _NARROW:
        columns = parallel.scratch((kh, row, *view.shape[:3]), view.dtype)
        np.copyto(columns, view.transpose(3, 4, 0, 1, 2))
        return columns.reshape(kh * row, -1).T
    rows = parallel.scratch(view.shape, view.dtype)
    np.copyto(rows, view)
    return rows.reshape(-1, kh * row)


def tiles(windows_shape: tuple[int, ...], fewest: int = 1) -> list[Tile]:
    """Cut windows ``(n, oh, ow, kh, kw*c)`` into tiles that stay in a core's cache.

    Tiles of some rows of an image have at least ``fewest`` rows, or are the image's only one.
    """
    n, oh, ow, kh, row = windows_shape
    rows = max(1, _TILE // (ow * kh * row))
    if n > 1 and rows >= oh:
        groups = parallel.even_slices(n, rows // oh)
        return [Tile(images, slice(0, oh)) for images in groups]
    parts = parallel.even_slices(oh, rows)
    if parts[0].stop < fewest:
        parts = parallel.slices(oh, fewest)
    return [Tile(slice(b, b + 1), part) for b in range(n) for part in parts]
