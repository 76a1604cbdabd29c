"""Layout of images on the GPU, a thread for each element; see `minispiral.kernels.layout`."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .launch import MOST_BLOCKS, Array, blocks, ctype, empty, launch
from .rows import MOST_ARRAYS, THREADS, block_of, grid_of, padded
from .table import declare

BYTES = {np.dtype(np.uint8): "unsigned char", np.dtype(np.bool_): "bool"}

_CHANNELS = np.dtype([(f"of_{i}", np.int32) for i in range(MOST_ARRAYS)])

for t, registers in (("float", 40), ("double", 48)):
    for name in (
        *("scale_pixels", "window", "edge_pad", "edge_pad_grad"),
        *("join_channels", "split_channels"),
    ):
        declare("layout.cu", f"{name}<{t}>", registers=registers)
for t in BYTES.values():
    declare("layout.cu", f"flip<{t}>")


class _Group(NamedTuple):
    """Images of a launch that joins or splits channels; those that are missing are empty."""

    images: tuple[Array, ...]
    sizes: tuple[Any, ...]
    grid: tuple[int, int]
    block: tuple[int, int]


def scale_pixels(pixels: Array, dtype: DTypeLike) -> Array:
    y = empty(pixels.shape, dtype)
    launch(f"scale_pixels<{ctype(dtype)}>", _grid(y), pixels, np.int32(y.size), y)
    return y


def flip(images: Array, flips: Array) -> Array:
    n, h, w, c = images.shape
    y = empty(images.shape, images.dtype)
    grid, block = grid_of(n * h, w * c, most=MOST_BLOCKS[1]), block_of(w * c)
    sizes = map(np.int32, (n * h, h, w * c, c))
    launch(f"flip<{BYTES[images.dtype]}>", grid, images, flips, *sizes, y, block=block)
    return y


def concatenate(xs: Sequence[Array], axis: int) -> Array:
    """There is a kernel for the last axis, where a network joins channels."""
    if axis != xs[0].ndim - 1:
        return np.concatenate(xs, axis)
    y = empty((*xs[0].shape[:-1], sum(x.shape[-1] for x in xs)), xs[0].dtype)
    name = f"join_channels<{ctype(y.dtype)}>"
    for group in _groups(xs, y):
        launch(name, group.grid, *group.images, *group.sizes, y, block=group.block)
    return y


def split(x: Array, borders: list[int], axis: int) -> tuple[Array, ...]:
    """As for `concatenate`, there is a kernel for the last axis."""
    if axis != x.ndim - 1:
        return tuple(part.copy() for part in np.split(x, borders, axis))
    ends = pairwise((0, *borders, x.shape[-1]))
    parts = tuple(empty((*x.shape[:-1], stop - start), x.dtype) for start, stop in ends)
    name = f"split_channels<{ctype(x.dtype)}>"
    for group in _groups(parts, x):
        launch(name, group.grid, x, *group.sizes, *group.images, block=group.block)
    return parts


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


def _groups(images: Sequence[Array], whole: Array) -> Iterator[_Group]:
    """The images whose channels are those of ``whole`` side by side."""
    m, first = math.prod(whole.shape[:-1]), 0
    for start in range(0, len(images), MOST_ARRAYS):
        group = images[start : start + MOST_ARRAYS]
        counts = [image.shape[-1] for image in group]
        channels = np.array((*counts, *[0] * (MOST_ARRAYS - len(group))), _CHANNELS)
        sizes = channels, *map(np.int32, (m, whole.shape[-1], first))
        c = sum(counts)
        yield _Group(padded(group), sizes, grid_of(m, c, most=MOST_BLOCKS[1]), block_of(c))
        first += c


def _grid(y: Array) -> tuple[int]:
    return (blocks(y.size, THREADS),)
