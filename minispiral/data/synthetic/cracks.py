"""Cracks of every kind: hairlines to gaps of 9 pixels, clean or dirty, straight or jagged."""

import numpy as np
from numpy.typing import NDArray

from minispiral.data.crack import Crack
from minispiral.data.synthetic.concrete import Surface, dig_hole
from minispiral.data.synthetic.course import STEP, Course, branch_heading, grow
from minispiral.data.synthetic.exposure import blurred
from minispiral.data.synthetic.painting import draw_stroke, noise, noise_1d

UNCRACKED = 0.12  # of the photographs
DENSITY = 0.0028  # px of crack per px of wall: the median
WIDEST = 9.0  # px


def grow_cracks(rng: np.random.Generator, height: int, width: int) -> list[Crack]:
    """Grow cracks with branches; half of them come in from the border."""
    if rng.random() < UNCRACKED:
        return []
    shortest = min(height, width) / 3
    budget = max(np.exp(rng.normal(np.log(DENSITY), 0.7)) * height * width, shortest)
    typical_width = np.clip(np.exp(rng.normal(0.4, 0.65)), 0.5, 7)
    rough, gaps = rng.random(), rng.random() < 0.5
    course = Course(0.35, turn=0.35 + 0.35 * rough, longest=8, jitter=0.15 + 0.35 * rough)
    cracks: list[Crack] = []
    while budget > 0.4 * shortest:
        wanted = min(budget, np.hypot(height, width) * rng.uniform(0.4, 1.3))
        start, heading = _beginning(rng, height, width)
        trunk = grow(rng, course, start, heading, wanted, height, width)
        if len(trunk) * STEP < 0.4 * min(wanted, shortest):
            continue
        opening = typical_width * np.exp(rng.normal(0, 0.25))
        cracks.append(Crack(trunk, _widths(rng, len(trunk), opening, gaps)))
        budget -= len(trunk) * STEP
        for _ in range(rng.poisson(len(trunk) * STEP / 350)):
            at = int(rng.integers(len(trunk) - 1))
            wanted = min(max(budget, 20), len(trunk) * STEP * rng.uniform(0.15, 0.7))
            heading = branch_heading(rng, trunk, at)
            branch = grow(rng, course, trunk[at], heading, wanted, height, width)
            if len(branch) * STEP > 16:
                thinner = rng.uniform(0.45, 0.9) * opening
                cracks.append(Crack(branch, _widths(rng, len(branch), thinner, gaps)))
                budget -= len(branch) * STEP
    return cracks


def paint_cracks(rng: np.random.Generator, surface: Surface, cracks: list[Crack]) -> None:
    """Darken the surface along the cracks; some have dirt or a lit edge along them, or holes."""
    shape = surface.grey.shape
    dark, dirt, lit = (np.zeros(shape, np.float32) for _ in range(3))
    darkness = rng.uniform(0.4, 0.95)
    dirty, with_lit_edge, broken = rng.random() < 0.35, rng.random() < 0.3, rng.random() < 0.4
    light_from = rng.normal(0, 1, 2)
    light_from /= np.hypot(*light_from)
    for crack in cracks:
        count = len(crack.points)
        strength = np.clip(darkness + 0.12 * noise_1d(rng, count, 64, 2), 0.15, 0.97)
        draw_stroke(dark, crack.points, crack.widths, strength)
        if dirty:
            uneven = 0.6 + 0.4 * np.abs(noise_1d(rng, count, 16, 2))
            patchy = np.clip(0.7 + 0.5 * noise_1d(rng, count, 32, 4), 0, 1.3)
            broad = crack.widths + rng.uniform(2, 8) * uneven
            draw_stroke(dirt, crack.points, broad, rng.uniform(0.05, 0.25) * patchy)
        if with_lit_edge:
            edge = crack.points + light_from * (crack.widths[:, None] / 2 + 0.8)
            draw_stroke(lit, edge, np.where(crack.widths > 0, 1.6, 0), rng.uniform(0.05, 0.3))
    if dirty:
        dirt = blurred(dirt, rng.uniform(0.8, 2.5))
    if broken:
        dark *= np.clip(1 + 0.35 * noise(rng, shape, coarse=6, fine=1), 0.2, 1.15)
    surface.grey *= (1 + lit) * (1 - dirt) * (1 - np.minimum(dark, 0.98))
    if rng.random() < 0.3:
        surface.warmth += np.float32(rng.normal(0, 12)) * dirt
    for crack in cracks:
        for at in rng.integers(len(crack.points), size=rng.poisson(len(crack.points) / 150)):
            x, y = crack.points[at]
            dig_hole(rng, surface, x, y, min(6.0, 0.8 + 0.6 * rng.pareto(1.7)))


def _beginning(
    rng: np.random.Generator, height: int, width: int
) -> tuple[NDArray[np.float64], float]:
    """Where a crack begins, and its heading: at the border inwards, or anywhere."""
    if rng.random() < 0.5:
        return rng.uniform((0, 0), (width, height)), rng.uniform(0, 2 * np.pi)
    x, y = rng.uniform((1, 1), (width - 1, height - 1))
    borders = ((x, 1.0), (x, height - 1.0), (1.0, y), (width - 1.0, y))
    start = np.array(borders[rng.integers(4)])
    inwards = np.arctan2(height / 2 - start[1], width / 2 - start[0])
    return start, float(inwards + rng.normal(0, 0.5))


def _widths(
    rng: np.random.Generator, count: int, opening: float, gaps: bool
) -> NDArray[np.float64]:
    """The opening in pixels at ``count`` points: uneven, narrow at the ends, 0 at ``gaps``."""
    widths = opening * np.exp(0.35 * noise_1d(rng, count, 64, 1))
    widths *= np.minimum(1, 0.3 + np.minimum(np.arange(count), np.arange(count)[::-1]) / 30)
    if gaps:
        widths[noise_1d(rng, count, 16, 4) > rng.uniform(1.3, 2.5)] = 0
    return np.clip(widths, 0, WIDEST)
