"""Centre lines with few points, near enough for the eye and for drawings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 0.4  # pixels of the photograph


def simplified(points: NDArray[np.float64], tolerance: float = TOLERANCE) -> NDArray[np.float64]:
    """The points (n, 2) of a line without those that a straight line passes within ``tolerance``.

    Ramer-Douglas-Peucker (1972, 1973): of a stretch the point farthest from its chord is kept, and
    the stretch divided there, until all are near enough.
    """
    keep = np.zeros(len(points), bool)
    keep[[0, -1]] = True
    stretches = [(0, len(points) - 1)]
    while stretches:
        first, last = stretches.pop()
        if last - first < 2:
            continue
        away = _distances(points[first + 1 : last], points[first], points[last])
        worst = int(away.argmax())
        if away[worst] > tolerance:
            middle = first + 1 + worst
            keep[middle] = True
            stretches += [(first, middle), (middle, last)]
    return points[keep]


def _distances(
    points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far points (n, 2) are from the segment between two points."""
    chord = end - start
    squared = float(chord @ chord)
    along = np.clip((points - start) @ chord / squared, 0, 1) if squared else np.zeros(len(points))
    x, y = (points - start - along[:, None] * chord).T
    return np.asarray(np.hypot(x, y))
