"""Photographs of cracks whose centre line and width are known exactly, every defect on a knob.

A crack is painted on a grid `FINE` times as fine, blurred by a Gaussian of any size, averaged over
the pixels, encoded, sharpened and compressed as a camera would.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from minispiral.data.crack import Crack
from minispiral.data.synthetic.painting import draw_stroke, noise
from minispiral.data.transfer import values_of
from minispiral.measurement.curves import along

FINE = 6
SIZE = 256  # px, each side


@dataclass(frozen=True)
class Look:
    """How a crack is photographed.

    ``blur``: standard deviation of the camera's blur, px, the pixel comes on top. ``contrast``:
    share of the light that an open crack swallows. ``wall``: linear light. ``sand``, ``clouds``:
    texture of 1 to 4 and of 8 to 128 px, as shares. ``sensor``: noise, in linear light. ``slope``:
    of the light across the photograph. ``dirt``: depth of a dark halo of some 5 px beside the
    crack. ``tone``: share of an S-shaped curve laid over the encoded values. ``sharpen``: share of
    an unsharp mask of radius 1 px. ``jpeg``: quality, 0 for none.
    """

    size: int = SIZE
    blur: float = 0.7
    contrast: float = 0.7
    wall: float = 0.5
    sand: float = 0.03
    clouds: float = 0.02
    sensor: float = 0.008
    slope: float = 0.0
    dirt: float = 0.0
    transfer: str = "srgb"
    tone: float = 0.0
    sharpen: float = 0.0
    jpeg: int = 95


@dataclass(frozen=True)
class Case:
    """``photo`` (h, w, 3), ``trace`` (h, w): a mask drawn by an unsteady hand, and the truth."""

    photo: NDArray[np.uint8]
    trace: NDArray[np.bool_]
    cracks: list[Crack]
    look: Look


def taken(rng: np.random.Generator, cracks: list[Crack], look: Look) -> Case:
    """The photograph of ``cracks``."""
    from scipy.ndimage import gaussian_filter

    side = look.size
    covered = coverage(cracks, side, look.blur)
    ground = np.full((side, side), look.wall, np.float32)
    ground *= 1 + look.slope * np.linspace(-0.5, 0.5, side, dtype=np.float32)
    sand = gaussian_filter(noise(rng, (side, side), coarse=4, fine=1), 0.5 * look.blur)
    ground *= 1 + look.sand * sand
    ground *= 1 + look.clouds * noise(rng, (side, side), coarse=128, fine=8)
    if look.dirt:
        broad = [Crack(c.points, np.full(len(c.points), 6.0)) for c in cracks]
        uneven = 1 + 0.5 * noise(rng, (side, side), coarse=32, fine=8)
        ground *= 1 - look.dirt * coverage(broad, side, 2.5) * uneven
    light = ground * (1 - look.contrast * covered)
    noisy = light[..., None] + look.sensor * rng.standard_normal((side, side, 3), np.float32)
    return Case(developed(noisy, look), traced(rng, cracks, side), cracks, look)


def coverage(cracks: list[Crack], side: int, blur: float) -> NDArray[np.float32]:
    """The share of each pixel (side, side) that is crack, seen through the blur."""
    from scipy.ndimage import gaussian_filter
    from scipy.spatial import cKDTree

    fine = np.zeros((side * FINE, side * FINE), np.float32)
    for crack in cracks:
        distance = along(crack.points)
        dense = np.arange(0, distance[-1], 0.25 / FINE)
        x, y, width = (
            FINE * np.interp(dense, distance, values) for values in (*crack.points.T, crack.widths)
        )
        near = np.zeros((side, side), bool)
        cols, rows = (np.floor(axis / FINE).astype(int) for axis in (x, y))
        reach = int(np.ceil(crack.widths.max() / 2)) + 1
        for down in range(-reach, reach + 1):
            for right in range(-reach, reach + 1):
                near[np.clip(rows + down, 0, side - 1), np.clip(cols + right, 0, side - 1)] = True
        rows, cols = np.nonzero(np.kron(near, np.ones((FINE, FINE), bool)))
        far, which = cKDTree(np.stack([x, y], 1)).query(np.stack([cols, rows], 1) + 0.5)
        inside = np.clip(width[which] / 2 - far + 0.5, 0, np.minimum(1, width[which]))
        fine[rows, cols] = np.maximum(fine[rows, cols], inside)
    fine = gaussian_filter(fine, blur * FINE)
    return np.asarray(fine.reshape(side, FINE, side, FINE).mean(axis=(1, 3)))


def developed(light: NDArray[np.float32], look: Look) -> NDArray[np.uint8]:
    """Linear light (h, w, 3) as the camera writes it."""
    from scipy.ndimage import gaussian_filter

    values = values_of(np.clip(light, 0, 1), look.transfer)
    values = (1 - look.tone) * values + look.tone * values * values * (3 - 2 * values)
    if look.sharpen:
        values = values + look.sharpen * (values - gaussian_filter(values, (1, 1, 0)))
    pixels: NDArray[np.uint8] = np.clip(255 * values + 0.5, 0, 255).astype(np.uint8)
    if look.jpeg:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=look.jpeg, subsampling=0)
        pixels = np.array(Image.open(file))
    return pixels


def traced(rng: np.random.Generator, cracks: list[Crack], side: int) -> NDArray[np.bool_]:
    """A mask of lines 3 px wide whose corners, 8 px apart, are off by 0.45 px."""
    canvas = np.zeros((side, side), np.float32)
    for crack in cracks:
        distance = along(crack.points)
        clicks = np.linspace(0, distance[-1], max(2, round(distance[-1] / 8)))
        points = np.stack([np.interp(clicks, distance, axis) for axis in crack.points.T], axis=1)
        points += 0.45 * rng.standard_normal(points.shape)
        draw_stroke(canvas, points, np.full(len(points), 3.0))
    return canvas >= 0.5


def straight(
    width: float | tuple[float, float], degrees: float, side: int = SIZE, shift: float = 0.0
) -> Crack:
    """Through the middle, or ``shift`` px beside it; a pair of widths makes a taper."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    half = (side / 2 - 20) / max(abs(c), abs(s))
    t = np.arange(-half, half, 0.5)
    points = np.stack([side / 2 + t * c - shift * s, side / 2 + t * s + shift * c], axis=1)
    first, last = width if isinstance(width, tuple) else (width, width)
    return Crack(points, np.linspace(first, last, len(t)))


def sine(width: float, amplitude: float, period: float, side: int = SIZE) -> Crack:
    x = np.arange(20, side - 20, 0.25)
    y = side / 2 + amplitude * np.sin(2 * np.pi * x / period)
    return Crack(np.stack([x, y], axis=1), np.full(len(x), width))


def arc(width: float, radius: float, side: int = SIZE) -> Crack:
    """300 degrees of a circle."""
    t = np.arange(0, np.radians(300), 0.5 / radius)
    points = side / 2 + radius * np.stack([np.cos(t), np.sin(t)], axis=1)
    return Crack(points, np.full(len(t), width))


def rough(rng: np.random.Generator, width: float, degrees: float, side: int = SIZE) -> Crack:
    """Around stones: straight pieces of 4 px whose headings vary by 20 degrees."""
    count = int((side - 60) / 4)
    turns = np.radians(degrees) + 0.35 * rng.standard_normal(count)
    points = np.cumsum(4 * np.stack([np.cos(turns), np.sin(turns)], axis=1), axis=0)
    points += side / 2 - (points.min(axis=0) + points.max(axis=0)) / 2
    inside = ((points > 15) & (points < side - 15)).all(axis=1)
    return Crack(points[inside], np.full(int(inside.sum()), width))
