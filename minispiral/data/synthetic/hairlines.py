"""Hairline cracks in concrete: thinner than a pixel or little more, faint and interrupted."""

import numpy as np
from numpy.typing import NDArray

from minispiral.data.crack import Crack
from minispiral.data.synthetic.concrete import Surface, dig_hole
from minispiral.data.synthetic.course import STEP, TRACE_WIDTH, Course, branch_heading, grow
from minispiral.data.synthetic.painting import draw_stroke, noise_1d

CRACK_SHARE = 1 / 450  # of all pixels, on average over many photographs
UNCRACKED = 0.1  # of the photographs
COURSE = Course(bend=0.3, turn=0.5, longest=6, jitter=0.2)


def grow_hairlines(rng: np.random.Generator, height: int, width: int) -> list[Crack]:
    """Grow cracks and branches until their traces cover the photograph's share of pixels."""
    if rng.random() < UNCRACKED:
        return []
    share = CRACK_SHARE / (1 - UNCRACKED) * rng.gamma(2.0, 1 / 2.0)
    shortest = min(height, width) / 3
    budget = max(share * height * width / TRACE_WIDTH, shortest)
    typical_width = np.exp(rng.normal(0.1, 0.35))
    cracks: list[Crack] = []
    while budget > 0.4 * shortest:
        wanted = min(budget, np.hypot(height, width) * rng.uniform(0.3, 1.1))
        start = rng.uniform((0, 0), (width, height))
        trunk = grow(rng, COURSE, start, rng.uniform(0, 2 * np.pi), wanted, height, width)
        if len(trunk) * STEP < 0.4 * min(wanted, shortest):
            continue
        opening = typical_width * np.exp(rng.normal(0, 0.25))
        cracks.append(Crack(trunk, _widths(rng, len(trunk), opening)))
        budget -= len(trunk) * STEP
        for _ in range(rng.poisson(len(trunk) * STEP / 450)):
            at = rng.integers(len(trunk) - 1)
            heading = branch_heading(rng, trunk, int(at))
            wanted = min(budget, len(trunk) * STEP * rng.uniform(0.15, 0.6))
            branch = grow(rng, COURSE, trunk[at], heading, wanted, height, width)
            if len(branch) * STEP > 16:
                cracks.append(Crack(branch, _widths(rng, len(branch), 0.7 * opening)))
                budget -= len(branch) * STEP
    return cracks


def _widths(rng: np.random.Generator, count: int, opening: float) -> NDArray[np.float64]:
    """The opening in pixels at ``count`` points: uneven, narrow at the ends, 0 at gaps."""
    widths = opening * np.exp(0.4 * noise_1d(rng, count, 64, 1))
    widths *= np.minimum(1, 0.3 + np.minimum(np.arange(count), np.arange(count)[::-1]) / 30)
    widths[noise_1d(rng, count, 16, 4) > rng.uniform(1.3, 2.5)] = 0
    return np.clip(widths, 0, 3.2)


def paint_hairlines(rng: np.random.Generator, surface: Surface, cracks: list[Crack]) -> None:
    """Darken the surface along the cracks; some have lime or damp along them or holes on them."""
    dark = np.zeros_like(surface.grey)
    margins = np.zeros_like(surface.grey)
    darkness = rng.uniform(0.45, 0.85)
    for crack in cracks:
        count = len(crack.points)
        strength = np.clip(darkness + 0.1 * noise_1d(rng, count, 64, 4), 0.15, 0.85)
        draw_stroke(dark, crack.points, crack.widths, strength)
        if rng.random() < 0.3:
            broad = 4 + 2 * np.abs(noise_1d(rng, count, 32, 4))
            draw_stroke(margins, crack.points, broad, 0.05 * np.abs(noise_1d(rng, count, 64, 8)))
    surface.grey *= (1 - dark) * (1 + rng.choice([-1, 1]) * margins)
    for crack in cracks:
        for at in rng.integers(len(crack.points), size=rng.poisson(len(crack.points) / 150)):
            x, y = crack.points[at]
            dig_hole(rng, surface, x, y, min(6.0, 0.8 + 0.6 * rng.pareto(1.7)))
