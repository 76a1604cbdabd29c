"""Layout of images in NumPy; see `minispiral.kernels.layout`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]


def scale_pixels(pixels: Array, dtype: DTypeLike) -> Array:
    x = pixels.astype(dtype)
    x /= 127.5
    x -= 1
    return x


def flip(images: Array, flips: NDArray[np.bool_]) -> Array:
    pixel = np.dtype((np.void, images.shape[-1] * images.itemsize))  # copied as one, not by channel
    y = np.empty_like(images)
    for to, x, (rows, columns) in zip(y.view(pixel), images.view(pixel), flips, strict=True):
        to[...] = x[:: -1 if rows else 1, :: -1 if columns else 1]
    return y


def concatenate(xs: Sequence[Array], axis: int) -> Array:
    return np.concatenate(xs, axis)


def split(x: Array, borders: list[int], axis: int) -> tuple[Array, ...]:
    return tuple(part.copy() for part in np.split(x, borders, axis))


def edge_pad(x: Array, before: int, after: int) -> Array:
    rim = before, after
    return np.pad(x, ((0, 0), rim, rim, (0, 0)), "edge")


def edge_pad_grad(gy: Array, before: int, after: int) -> Array:
    for axis in (1, 2):
        n = gy.shape[axis] - before - after
        gy = np.add.reduceat(gy, np.r_[0, before + 1 : before + n], axis)
    return gy


def crop(x: Array, start: int, hw: tuple[int, int]) -> Array:
    rows, columns = (slice(start, start + n) for n in hw)
    return x[:, rows, columns].copy()


def crop_grad(gy: Array, start: int, hw: tuple[int, int]) -> Array:
    n, h, w, c = gy.shape
    gx = np.zeros((n, *hw, c), gy.dtype)
    gx[:, start : start + h, start : start + w] = gy
    return gx
