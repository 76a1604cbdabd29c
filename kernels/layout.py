"""Images ``(n, h, w, c)`` scaled, flipped, padded and cropped, their channels joined and split."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .arrays import on_gpu
from .cpu import layout as cpu
from .cuda import layout as cuda

Array = Any  # NumPy's or the GPU's


def scale_pixels(pixels: Array, dtype: DTypeLike = np.float32) -> Array:
    """Pixels as networks take them: 0 to 255 (uint8) to -1 to 1, that is ``v / 127.5 - 1``."""
    twin = cuda if on_gpu(pixels) else cpu
    return twin.scale_pixels(pixels, dtype)


def flip(images: Array, flips: Array) -> Array:
    """Images with their rows, their columns or both in reverse order.

    ``images`` are uint8 or bool, ``(n, h, w, c)``; ``flips (n, 2)`` say of each image whether its
    rows and whether its columns are reversed. ValueError for anything else.
    """
    n = len(images)
    if images.dtype not in ("uint8", "bool") or flips.shape != (n, 2) or flips.dtype != "bool":
        raise ValueError(
            f"expected images of uint8 or bool and boolean flips ({n}, 2), got {images.dtype} "
            f"{images.shape} and {flips.dtype} {flips.shape}"
        )
    twin = cuda if on_gpu(images) else cpu
    return twin.flip(images, flips)


def concatenate(*xs: Array, axis: int = -1) -> Array:
    """The arrays joined along an axis; ValueError where they differ in anything else."""
    first = xs[0]
    axis %= first.ndim
    before, after = first.shape[:axis], first.shape[axis + 1 :]
    for x in xs:
        if (x.shape[:axis], x.shape[axis + 1 :], x.dtype) != (before, after, first.dtype):
            given = ", ".join(f"{x.dtype} {x.shape}" for x in xs)
            raise ValueError(f"expected arrays that differ in axis {axis} alone, got {given}")
    twin = cuda if on_gpu(first) else cpu
    return twin.concatenate(xs, axis)


def split(x: Array, borders: Sequence[int], axis: int = -1) -> tuple[Array, ...]:
    """Copies of the parts of ``x`` between these places on an axis."""
    twin = cuda if on_gpu(x) else cpu
    parts: tuple[Array, ...] = twin.split(x, [int(border) for border in borders], axis % x.ndim)
    return parts


def edge_pad(x: Array, before: int, after: int) -> Array:
    """``x`` with its outermost rows and columns repeated, ``before`` and ``after`` times."""
    twin = cuda if on_gpu(x) else cpu
    return twin.edge_pad(x, before, after)


def edge_pad_grad(gy: Array, before: int, after: int) -> Array:
    """The adjoint of `edge_pad`: each pixel sums the ``gy`` of its copies."""
    twin = cuda if on_gpu(gy) else cpu
    return twin.edge_pad_grad(gy, before, after)


def crop(x: Array, start: int, hw: tuple[int, int]) -> Array:
    """The ``hw`` pixels of ``x`` from row ``start`` and column ``start`` on."""
    twin = cuda if on_gpu(x) else cpu
    return twin.crop(x, start, hw)


def crop_grad(gy: Array, start: int, hw: tuple[int, int]) -> Array:
    """The adjoint of `crop`: ``gy`` in an image of ``hw`` pixels, zeros around it."""
    twin = cuda if on_gpu(gy) else cpu
    return twin.crop_grad(gy, start, hw)
