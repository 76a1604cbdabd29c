"""Images ``(n, h, w, c)`` put together and taken apart."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[Any]


def scale_pixels(pixels: Array, dtype: DTypeLike = np.float32) -> Array:
    """Pixels as networks take them: 0 to 255 (uint8) onto -1 to 1, that is ``v / 127.5 - 1``."""
    x = pixels.astype(dtype)
    x /= 127.5
    x -= 1
    return x


def flip(images: Array, flips: NDArray[np.bool_]) -> Array:
    """Each of n images with its rows and its columns reversed where its ``flips`` (n, 2) say so."""
    pixel = np.dtype((np.void, images.shape[-1] * images.itemsize))  # copied whole, not by channel
    y = np.empty_like(images)
    for to, x, (rows, columns) in zip(y.view(pixel), images.view(pixel), flips, strict=True):
        to[...] = x[:: -1 if rows else 1, :: -1 if columns else 1]
    return y


def concatenate(*xs: Array, axis: int = -1) -> Array:
    """Arrays side by side along an axis."""
    return np.concatenate(xs, axis)


def split(x: Array, borders: ArrayLike, axis: int = -1) -> tuple[Array, ...]:
    """The parts of ``x`` between these places on an axis, each an array of its own."""
    return tuple(part.copy() for part in np.split(x, np.asarray(borders), axis))


def edge_pad(x: Array, before: int, after: int) -> Array:
    """``x`` with its outermost rows and columns repeated."""
    rim = before, after
    return np.pad(x, ((0, 0), rim, rim, (0, 0)), "edge")


def edge_pad_grad(gy: Array, before: int, after: int) -> Array:
    """The adjoint of `edge_pad`: the first and the last row take in the rim, so do columns."""
    for axis in (1, 2):
        n = gy.shape[axis] - before - after
        gy = np.add.reduceat(gy, np.r_[0, before + 1 : before + n], axis)
    return gy


def crop(x: Array, start: int, hw: tuple[int, int]) -> Array:
    """The ``hw`` pixels of ``x`` from row ``start`` and column ``start`` on."""
    rows, columns = (slice(start, start + n) for n in hw)
    return x[:, rows, columns].copy()


def crop_grad(gy: Array, start: int, hw: tuple[int, int]) -> Array:
    """The adjoint of `crop`: ``gy`` in an image of ``hw`` pixels, zeros around it."""
    n, h, w, c = gy.shape
    gx = np.zeros((n, *hw, c), gy.dtype)
    gx[:, start : start + h, start : start + w] = gy
    return gx
