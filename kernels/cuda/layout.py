"""Layout of images on the GPU, a thread for each element; see `minispiral.kernels.layout`."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import DTypeLike

from .launch import Array, blocks, ctype, empty, launch
from .rows import THREADS
from .table import declare

BYTES = {np.dtype(np.uint8): "unsigned char", np.dtype(np.bool_): "bool"}

for t, registers in (("float", 40), ("double", 48)):
    for name in ("scale_pixels", "copy_channels", "window", "edge_pad", "edge_pad_grad"):
        declare("layout.cu", f"{name}<{t}>", registers=registers)
for t in BYTES.values():
    declare("layout.cu", f"flip<{t}>")


def scale_pixels(pixels: Array, dtype: DTypeLike) -> Array:
    y = empty(pixels.shape, dtype)
    launch(f"scale_pixels<{ctype(dtype)}>", _grid(y), pixels, np.int32(y.size), y)
    return y


def flip(images: Array, flips: Array) -> Array:
    _, h, w, c = images.shape
    y = empty(images.shape, images.dtype)
    sizes = map(np.int32, (h, w, c, y.size))
    launch(f"flip<{BYTES[images.dtype]}>", _grid(y), images, flips, *sizes, y)
    return y


def concatenate(xs: Sequence[Array], axis: int) -> Array:
    """There is a kernel for the last axis, where a network joins channels."""
    if axis != xs[0].ndim - 1:
        return np.concatenate(xs, axis)
    y = empty((*xs[0].shape[:-1], sum(x.shape[-1] for x in xs)), xs[0].dtype)
    to = 0
    for x in xs:
        _copy_channels(x, 0, y, to, x.shape[-1])
        to += x.shape[-1]
    return y


def split(x: Array, borders: list[int], axis: int) -> tuple[Array, ...]:
    """As for `concatenate`, there is a kernel for the last axis."""
    if axis != x.ndim - 1:
        return tuple(part.copy() for part in np.split(x, borders, axis))
    parts = []
    for start, stop in pairwise((0, *borders, x.shape[-1])):
        parts.append(empty((*x.shape[:-1], stop - start), x.dtype))
        _copy_channels(x, start, parts[-1], 0, stop - start)
    return tuple(parts)


def edge_pad(x: Array, before: int, after: int) -> Array:
    n, h, w, c = x.shape
    y = empty((n, before + h + after, before + w + after, c), x.dtype)
    sizes = map(np.int32, (h, w, c, before, after, y.size))
    launch(f"edge_pad<{ctype(x.dtype)}>", _grid(y), x, *sizes, y)
    return y


def edge_pad_grad(gy: Array, before: int, after: int) -> Array:
    n, oh, ow, c = gy.shape
    h, w = oh - before - after, ow - before - after
    gx = empty((n, h, w, c), gy.dtype)
    sizes = map(np.int32, (h, w, c, before, after, gx.size))
    launch(f"edge_pad_grad<{ctype(gy.dtype)}>", _grid(gx), gy, *sizes, gx)
    return gx


def crop(x: Array, start: int, hw: tuple[int, int]) -> Array:
    return _window(x, start, hw)


def crop_grad(gy: Array, start: int, hw: tuple[int, int]) -> Array:
    return _window(gy, -start, hw)


def _window(x: Array, start: int, hw: tuple[int, int]) -> Array:
    n, h, w, c = x.shape
    y = empty((n, *hw, c), x.dtype)
    sizes = map(np.int32, (h, w, c, start, *hw, y.size))
    launch(f"window<{ctype(x.dtype)}>", _grid(y), x, *sizes, y)
    return y


def _copy_channels(x: Array, start: int, y: Array, to: int, count: int) -> None:
    n = x.size // x.shape[-1] * count
    sizes = map(np.int32, (x.shape[-1], start, count, n, y.shape[-1], to))
    launch(f"copy_channels<{ctype(x.dtype)}>", (blocks(n, THREADS),), x, *sizes, y)


def _grid(y: Array) -> tuple[int]:
    return (blocks(y.size, THREADS),)
