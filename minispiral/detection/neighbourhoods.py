"""What lies within so many pixels of a pixel: distances are Euclidean."""

from collections.abc import Callable
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.kernels.cpu import parallel

Join = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]


def dilate(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """The mask (h, w) of all pixels within a Euclidean distance of ``radius`` of a true one."""
    h = mask.shape[0]
    near = np.zeros_like(mask)
    wide = mask.copy()  # the mask dilated horizontally by `reach` pixels
    reach = 0
    for dy in range(min(radius, h - 1), -1, -1):
        while reach < isqrt(radius**2 - dy**2):
            reach += 1
            wide[:, reach:] |= mask[:, :-reach]
            wide[:, :-reach] |= mask[:, reach:]
        near[dy:] |= wide[: h - dy]
        near[: h - dy] |= wide[dy:]
    return near


def around(
    values: NDArray[Any], mask: NDArray[np.bool_], radius: int, join: Join = np.maximum
) -> NDArray[Any]:
    """For each true pixel of ``mask``, row by row, its neighbours' ``values`` (h, w) joined.

    Neighbours lie within ``radius`` pixels. With ``join`` the maximum this is the grey dilation of
    ``values`` by a disc, at the pixels that are asked for alone; with ``np.bitwise_or`` that of as
    many masks as an integer has bits. Values are not negative.
    """
    if radius == 0:
        return values[mask]
    h, w = mask.shape
    # Several rows at a time: they stay in the cache, and threads share them.
    strips = parallel.slices(h, max(2**18 // w, 4 * radius, 1))

    def joined(rows: slice) -> NDArray[Any]:
        y, x = np.nonzero(mask[rows])
        if not y.size:
            return np.zeros(0, values.dtype)
        top, bottom = max(rows.start - radius, 0), min(rows.stop + radius, h)
        margins = top - rows.start + radius, rows.stop + radius - bottom
        wide = np.pad(values[top:bottom], (margins, (radius, radius)))
        return _over_disc(wide, y + radius, x + radius, radius, join)

    return np.concatenate(parallel.run(joined, strips))


def _over_disc(
    values: NDArray[Any], y: NDArray[Any], x: NDArray[Any], radius: int, join: Join
) -> NDArray[Any]:
    """``values`` joined over a disc about each pixel (y, x), none of which leaves the array.

    A row of the disc is covered by two windows as long as a power of two. All windows of a length
    come from those of half the length.
    """
    found: NDArray[Any] = values[y, x]
    length, longest = 1, 2 * radius + 1
    while length <= longest:
        for dy in range(-radius, radius + 1):
            half = isqrt(radius**2 - dy**2)
            if length <= 2 * half + 1 < 2 * length:
                for start in (x - half, x + half + 1 - length):
                    found = join(found, values[y + dy, start])
        if 2 * length <= longest:
            values = join(values[:, :-length], values[:, length:])
        length *= 2
    return found
