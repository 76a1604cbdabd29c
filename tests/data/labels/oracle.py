"""Areas and lines as pixels, from their definitions, for each pixel on its own."""

from itertools import pairwise

import numpy as np


def centres(height, width):
    y, x = np.mgrid[:height, :width] + 0.5
    return x, y


def inside(ring, height, width):
    """Whether a ray from the centre to the left crosses the ring an odd number of times."""
    x, y = centres(height, width)
    odd = np.zeros((height, width), bool)
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if y0 != y1:
            at = x0 + (y - y0) / (y1 - y0) * (x1 - x0)
            odd ^= ((y0 <= y) != (y1 <= y)) & (at <= x)
    return odd


def distance(points, height, width):
    """From the centre of each pixel to the nearest point of a polyline."""
    x, y = centres(height, width)
    nearest = np.full((height, width), np.inf)
    for p, q in pairwise(points):
        along = q - p
        square = along @ along
        t = ((x - p[0]) * along[0] + (y - p[1]) * along[1]) / square if square else 0 * x
        t = np.clip(t, 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - p[0] - t * along[0], y - p[1] - t * along[1]))
    return nearest


def from_runs(lengths, height, width, by_rows):
    """A mask whose pixels are written out one by one."""
    values = [k % 2 for k, length in enumerate(lengths) for _ in range(length)]
    mask = np.zeros((height, width), bool)
    for index, value in enumerate(values):
        row, column = divmod(index, width) if by_rows else divmod(index, height)[::-1]
        mask[row, column] = value
    return mask
