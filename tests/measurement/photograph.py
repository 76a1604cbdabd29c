"""Photographs of cracks whose widths are known, painted without the code that is tested."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FINE = 4  # cells of a pixel, each way
HEIGHT, WIDTH = 150, 170


@dataclass(frozen=True)
class Line:
    """A polyline of (n, 2) x, y, and its width at each corner, px."""

    points: NDArray[np.float64]
    widths: NDArray[np.float64]

    @property
    def length(self) -> float:
        return float(np.hypot(*np.diff(self.points, axis=0).T).sum())


def straight(width: float, degrees: float, half: float = 50.0, shift: float = 0.0) -> Line:
    """Through the middle of the photograph, or ``shift`` px beside it."""
    along = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    middle = np.array([WIDTH, HEIGHT]) / 2 + shift * np.array([-along[1], along[0]])
    return Line(np.stack([middle - half * along, middle + half * along]), np.full(2, width))


def circle(width: float, radius: float, turn: float = 1.6 * np.pi) -> Line:
    t = np.arange(0, turn, 1 / radius)
    points = np.array([WIDTH, HEIGHT]) / 2 + radius * np.stack([np.cos(t), np.sin(t)], axis=1)
    return Line(points, np.full(len(t), width))


def depths(lines: list[Line], blur: float) -> NDArray[np.float64]:
    """The share of each pixel that is crack, blurred by a Gaussian of ``blur`` px."""
    covered = np.zeros((HEIGHT * FINE, WIDTH * FINE))
    for line in lines:
        for a, b, first, last in zip(
            line.points, line.points[1:], line.widths, line.widths[1:], strict=False
        ):
            reach = max(first, last) / 2 + 1
            low, high = (np.minimum(a, b) - reach) * FINE, (np.maximum(a, b) + reach) * FINE
            left, top = np.maximum(0, np.floor(low)).astype(int)
            right, bottom = np.maximum(0, np.ceil(high)).astype(int)
            cells = covered[top:bottom, left:right]
            rows, cols = np.indices(cells.shape)
            rows, cols = (rows + top + 0.5) / FINE, (cols + left + 0.5) / FINE
            step = b - a
            share = ((cols - a[0]) * step[0] + (rows - a[1]) * step[1]) / (step @ step)
            share = share.clip(0, 1)
            far = np.hypot(cols - a[0] - share * step[0], rows - a[1] - share * step[1])
            width = first + share * (last - first)
            np.maximum(cells, ((width / 2 - far) * FINE + 0.5).clip(0, 1), out=cells)
    down = np.fft.fftfreq(covered.shape[0], 1 / FINE)
    right = np.fft.rfftfreq(covered.shape[1], 1 / FINE)
    passed = np.exp(-2 * (np.pi * blur) ** 2 * (down[:, None] ** 2 + right**2))
    soft = np.fft.irfft2(np.fft.rfft2(covered) * passed, s=covered.shape)
    return soft.reshape(HEIGHT, FINE, WIDTH, FINE).mean(axis=(1, 3))


def photograph(
    rng: np.random.Generator,
    lines: list[Line],
    contrast: float = 0.7,
    blur: float = 0.8,
    noise: float = 0.012,
    transfer: str = "srgb",
) -> NDArray[np.uint8]:
    """(h, w, 3) of bytes: a wall with grains and a slope of light, the cracks, a sensor's noise."""
    grain = rng.standard_normal((HEIGHT + 2, WIDTH + 2))
    grain = sum(grain[i : i + HEIGHT, j : j + WIDTH] for i in range(3) for j in range(3)) / 3
    wall = 0.45 * (1 + 0.02 * grain) * (1 + 0.1 * np.linspace(-1, 1, WIDTH))
    light = wall * (1 - contrast * depths(lines, blur))
    light = light[..., None] + noise * wall.mean() * rng.standard_normal((HEIGHT, WIDTH, 3))
    light = light.clip(0, 1)
    if transfer == "srgb":
        light = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (255 * light + 0.5).astype(np.uint8)


def trace(lines: list[Line]) -> NDArray[np.bool_]:
    """The mask of a person who draws lines 3 px wide whatever the crack."""
    drawn = [Line(line.points, np.full(len(line.points), 3.0)) for line in lines]
    return depths(drawn, 0.3) > 0.5
