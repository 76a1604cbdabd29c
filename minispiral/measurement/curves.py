"""Curves as arrays of points (n, 2): smoothed, resampled, their length and direction."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def along(points: Floats) -> Floats:
    """The distance of each point from the first, along the curve, (n,)."""
    steps = np.hypot(*np.diff(points, axis=0).T)
    return np.concatenate([[0.0], np.cumsum(steps)])


def length(points: Floats) -> float:
    return float(along(points)[-1])


def smoothed(values: Floats, sigma: float) -> Floats:
    """Convolve (n, ...) along axis 0 with a Gaussian of ``sigma`` samples, both ends kept in place.

    Beyond its ends the curve goes on by point reflection, so that a straight line stays as it is.
    """
    if sigma <= 0 or len(values) < 3:
        return values
    radius = min(int(np.ceil(3.5 * sigma)), len(values) - 1)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    head = 2 * values[:1] - values[radius:0:-1]
    tail = 2 * values[-1:] - values[-2 : -radius - 2 : -1]
    padded = np.concatenate([head, values, tail])
    out = np.zeros(values.shape)
    for k, weight in enumerate(kernel):
        out += weight * padded[k : k + len(values)]
    return out


def resampled(points: Floats, step: float = 1.0) -> Floats:
    """Points about ``step`` apart along the same curve, its ends kept."""
    distance = along(points)
    distinct = np.concatenate([[True], np.diff(distance) > 1e-9])
    distance, points = distance[distinct], points[distinct]
    wanted = np.linspace(0, distance[-1], max(2, round(distance[-1] / step) + 1))
    return np.stack([np.interp(wanted, distance, points[:, k]) for k in (0, 1)], axis=1)


def normals(points: Floats, sigma: float = 3.0) -> Floats:
    """Unit normals (n, 2) of the curve, smoothed by ``sigma`` points."""
    tangents = np.gradient(smoothed(points, sigma), axis=0)
    tangents /= np.maximum(np.hypot(*tangents.T), 1e-9)[:, None]
    return np.stack([-tangents[:, 1], tangents[:, 0]], axis=1)


def heading(points: Floats, end: int, span: int = 15) -> Floats:
    """The unit vector that leads out of the curve at its first (0) or last (1) point."""
    line = points if end == 0 else points[::-1]
    line = line[: span + 1]
    out = line[0] - line[len(line) // 2 :].mean(axis=0)
    return np.asarray(out / max(float(np.hypot(*out)), 1e-9))


def orientation(points: Floats) -> float:
    """The mean axis of a curve, weighted by length: degrees from x, counter-clockwise, [0, 180).

    The double angles of its steps are averaged, since an axis has no direction (Mardia & Jupp,
    Directional Statistics, 2000); y points down in a photograph.
    """
    dx, dy = np.diff(points, axis=0).T
    weights, doubled = np.hypot(dx, dy), 2 * np.arctan2(-dy, dx)
    mean = np.arctan2((weights * np.sin(doubled)).sum(), (weights * np.cos(doubled)).sum())
    return float(np.degrees(mean / 2) % 180)
