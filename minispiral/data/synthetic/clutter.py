"""What lies on a surface and may be taken for a crack, or hides one."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from minispiral.data.synthetic.concrete import Surface
from minispiral.data.synthetic.painting import Field, draw_stroke, noise, noise_1d, soft_step

Points = NDArray[np.float64]


def add_clutter(rng: np.random.Generator, surface: Surface) -> None:
    """Leave some of `THINGS`, each with its chance; straight seams become joints."""
    for thing, chance in THINGS:
        if rng.random() < chance:
            thing(rng, surface)


def _part(rng: np.random.Generator, surface: Surface) -> None:
    """Another part begins: a step in tone, sharp, with a dark seam or with a shadow beside it."""
    height, width = surface.grey.shape
    angle = rng.choice([0, np.pi / 2]) + rng.normal(0, 0.1)
    x, y = rng.uniform((0.05 * width, 0.05 * height), (0.95 * width, 0.95 * height))
    side = (np.arange(width) + 0.5 - x) * np.cos(angle)
    side = side + ((np.arange(height) + 0.5 - y) * np.sin(angle))[:, None]  # signed distance, px
    side = side.astype(np.float32) + np.float32(rng.uniform(0, 1.5)) * noise(
        rng, side.shape, coarse=32, fine=4
    )
    beyond = side.clip(0, 1)
    surface.grey *= 1 + np.float32(np.exp(rng.normal(0, 0.3)) - 1) * beyond
    surface.warmth += np.float32(rng.normal(0, 2)) * beyond
    if rng.random() < 0.6:
        wide = np.exp(rng.uniform(0, np.log(12)))
        seam = np.clip(wide / 2 + 0.5 - abs(side), 0, 1)
        surface.grey *= 1 - np.float32(rng.uniform(0.15, 0.85)) * seam
    if rng.random() < 0.4:
        shadow = (side > 0) * np.exp(-np.maximum(side, 0) / np.float32(rng.uniform(3, 30)))
        surface.grey *= 1 - np.float32(rng.uniform(0.1, 0.5)) * shadow
    surface.joints |= abs(side) < 2


def _cables(rng: np.random.Generator, surface: Surface) -> None:
    """Cables and ropes: smooth, of even width, with a shadow beside them."""
    for _ in range(rng.integers(1, 3)):
        points, _ = _line(rng, surface, bend=rng.uniform(0, 12))
        wide = np.exp(rng.uniform(np.log(1.5), np.log(9)))
        shadow = points + rng.uniform(-12, 12, 2)
        surface.grey *= 1 - _stroke(surface, shadow, 1.3 * wide, rng.uniform(0.1, 0.4))
        tone = np.float32(np.exp(rng.uniform(np.log(0.05), 0)))
        surface.grey += _stroke(surface, points, wide, 1.0) * (tone - surface.grey)


def _grooves(rng: np.random.Generator, surface: Surface) -> None:
    """Saw cuts, joints of slabs, tool marks: straight, of even width, some side by side."""
    points, across = _line(rng, surface, bend=rng.uniform(0, 2), rough=rng.uniform(0, 0.4))
    wide = np.exp(rng.uniform(np.log(0.8), np.log(7)))
    depth = rng.uniform(0.1, 0.8)
    count, pitch = (rng.integers(2, 8), rng.uniform(8, 60)) if rng.random() < 0.4 else (1, 0.0)
    for k in range(count):
        line = points + k * pitch * across
        dark = _stroke(surface, line, wide, depth)
        pale = _stroke(surface, line + across * (wide / 2 + 1), 1.5, rng.uniform(0, 0.2))
        surface.grey *= (1 - dark) * (1 + pale)
        surface.joints |= dark > 0.05


def _stains(rng: np.random.Generator, surface: Surface) -> None:
    """Spots of oil, water and paint, leaves, chewing gum."""
    height, width = surface.grey.shape
    tone, warm = rng.normal(-0.35, 0.35), rng.normal(0, 4)
    for _ in range(rng.poisson(np.exp(rng.uniform(0, 4)) * height * width / 2.5e5)):
        x, y = rng.uniform((0, 0), (width, height))
        radius, long = min(60.0, 1.5 + 2.5 * rng.pareto(1.2)), np.exp(rng.exponential(0.5))
        reach = int(2 * radius * long + 3)
        rows = slice(max(0, int(y) - reach), min(height, int(y) + reach))
        cols = slice(max(0, int(x) - reach), min(width, int(x) + reach))
        dx = np.arange(cols.start, cols.stop) + 0.5 - x
        dy = (np.arange(rows.start, rows.stop) + 0.5 - y)[:, None]
        angle = rng.uniform(0, np.pi)
        along, aside = (
            dx * np.cos(angle) + dy * np.sin(angle),
            dy * np.cos(angle) - dx * np.sin(angle),
        )
        distance = np.hypot(along / long, aside) / radius
        distance += 0.25 * noise(rng, distance.shape, coarse=max(4, radius), fine=2)
        spot = ((1 - distance) * rng.uniform(1, 1 + radius) + 0.5).clip(0, 1).astype(np.float32)
        surface.grey[rows, cols] *= np.exp(np.float32(tone * rng.uniform(0.3, 1.2)) * spot)
        surface.warmth[rows, cols] += np.float32(warm) * spot


def _flecks(rng: np.random.Generator, surface: Surface) -> None:
    """Small long spots in one direction, where the skin of the cement has come off."""
    height, width = surface.grey.shape
    preferred, scale = rng.uniform(0, np.pi), rng.uniform(0.5, 1.5)
    dark = np.zeros_like(surface.grey)
    crowd = noise(rng, (height, width), coarse=256, fine=64)
    for _ in range(rng.poisson(np.exp(rng.uniform(3, 7)) * height * width / 1e6)):
        x, y = rng.uniform((0, 0), (width, height))
        if crowd[int(y), int(x)] < rng.normal():
            continue
        length = scale * min(30.0, 4 + 4 * rng.pareto(1.5))
        points = _scribble(rng, np.array([x, y]), 5, 0.3, length / 5, rng.normal(preferred, 0.5))
        widths = length * rng.uniform(0.15, 0.6) * np.array([0.4, 0.9, 1.0, 0.8, 0.3])
        draw_stroke(dark, points, widths, rng.uniform(0.1, 0.5))
    surface.grey *= 1 - dark


def _holes(rng: np.random.Generator, surface: Surface) -> None:
    """A few deep holes, black inside, with ragged rims."""
    height, width = surface.grey.shape
    for _ in range(rng.poisson(12 * height * width / 1e6) + 1):
        start, count = rng.uniform((0, 0), (width, height)), int(rng.integers(2, 7))
        dark = np.zeros_like(surface.grey)
        radius = rng.uniform(2, 9)
        points = _scribble(rng, start, count, 1.0, rng.uniform(0.5, 1.2) * radius)
        draw_stroke(dark, points, 2 * radius * rng.uniform(0.5, 1, count), rng.uniform(0.6, 0.97))
        surface.grey *= 1 - dark


def _plants(rng: np.random.Generator, surface: Surface) -> None:
    """Moss, roots and grass: tangles of short dark strokes."""
    height, width = surface.grey.shape
    for _ in range(rng.integers(1, 4)):
        centre, spread = rng.uniform((0, 0), (width, height)), rng.uniform(8, 60)
        dark = np.zeros_like(surface.grey)
        for _ in range(rng.integers(8, 60)):
            points = _scribble(rng, centre + rng.normal(0, spread, 2), 8, 0.25, rng.uniform(1, 5))
            thinning = rng.uniform(0.5, 2.5) * np.linspace(1, 0.3, 8)
            draw_stroke(dark, points, thinning, rng.uniform(0.1, 0.7))
        surface.grey *= 1 - dark
        surface.warmth += np.float32(rng.uniform(0, 6)) * dark


def _paint(rng: np.random.Generator, surface: Surface) -> None:
    """Bands of paint with worn edges, or marks of chalk."""
    height, width = surface.grey.shape
    if rng.random() < 0.5:
        points, _ = _line(rng, surface, bend=1.0)
        painted = _stroke(surface, points, rng.uniform(6, 60), 1.0)
        painted *= soft_step(noise(rng, painted.shape, 32, 1), rng.uniform(-2.5, -0.5), 2)
    else:
        painted = np.zeros_like(surface.grey)
        for _ in range(rng.integers(1, 6)):
            start = rng.uniform((0, 0), (width, height))
            points = _scribble(rng, start, 10, 0.4, rng.uniform(2, 12))
            draw_stroke(painted, points, np.full(10, rng.uniform(1.5, 6)))
        painted *= soft_step(noise(rng, painted.shape, 8, 1), rng.uniform(-1.5, 0), 2)
    pale = rng.random() < 0.7
    surface.grey *= 1 + painted * np.float32(
        rng.uniform(0.2, 1.2) if pale else rng.uniform(-0.6, -0.2)
    )


def _bare_places(rng: np.random.Generator, surface: Surface) -> None:
    """The skin has come off: rough places with a ragged edge, lit from one side."""
    shape = surface.grey.shape
    field = noise(rng, shape, rng.uniform(64, 300), rng.uniform(2, 8), np.exp(rng.normal(0, 0.5)))
    bare = soft_step(field, rng.uniform(1.0, 1.9), rng.uniform(2, 12))
    rough = np.float32(rng.uniform(0.02, 0.2)) * noise(rng, shape, coarse=8, fine=1)
    surface.grey *= 1 + bare * (np.float32(rng.normal(-0.1, 0.12)) + rough)
    lit = np.sign(np.gradient(field, axis=int(rng.integers(2)))).astype(np.float32)
    rim = 4 * bare * (1 - bare)
    surface.grey *= 1 + np.float32(rng.choice([-1, 1]) * rng.uniform(0, 0.35)) * rim * lit


def _drips(rng: np.random.Generator, surface: Surface) -> None:
    """Streaks of water, lime and rust, as thin as cracks, but soft and straight."""
    height, width = surface.grey.shape
    streaks = np.zeros_like(surface.grey)
    sideways = rng.random() < 0.2
    for _ in range(rng.poisson(4 * np.exp(rng.normal(0, 0.7)))):
        length = rng.uniform(20, max(40, 0.8 * height))
        count = max(8, int(length / 4))
        x = rng.uniform(0, width) + 1.5 * noise_1d(rng, count, 16, 4)
        y = rng.uniform(-0.2, 0.8) * height + np.linspace(0, length, count)
        points = np.stack([y, x] if sideways else [x, y], axis=1)
        widths = rng.uniform(1, 8) * np.linspace(1, 0.4, count)
        draw_stroke(streaks, points, widths, rng.uniform(0.03, 0.25) * np.linspace(1, 0.1, count))
    for view in (streaks, streaks.T):
        for _ in range(rng.integers(3)):
            view[1:-1] = 0.25 * view[:-2] + 0.5 * view[1:-1] + 0.25 * view[2:]
    surface.grey *= 1 + np.float32(-1 if rng.random() < 0.7 else 1) * streaks
    if rng.random() < 0.4:
        surface.warmth += np.float32(rng.uniform(5, 40)) * streaks


def _tie_holes(rng: np.random.Generator, surface: Surface) -> None:
    """Round holes of form ties, filled or open, with an even rim."""
    height, width = surface.grey.shape
    for _ in range(rng.integers(1, 4)):
        x, y = rng.uniform((0, 0), (width, height))
        radius = rng.uniform(4, 16)
        rows = slice(max(0, int(y - radius - 3)), min(height, int(y + radius + 3)))
        cols = slice(max(0, int(x - radius - 3)), min(width, int(x + radius + 3)))
        dx = np.arange(cols.start, cols.stop) + 0.5 - x
        dy = (np.arange(rows.start, rows.stop) + 0.5 - y)[:, None]
        distance = np.hypot(dx, dy)
        inside = rng.uniform(-0.7, 0.2) * np.clip(radius - distance + 0.5, 0, 1)
        rim = rng.uniform(0, 0.7) * np.clip(1.5 - abs(distance - radius), 0, 1)
        surface.grey[rows, cols] *= ((1 + inside) * (1 - rim)).astype(np.float32)


def _outlines(rng: np.random.Generator, surface: Surface) -> None:
    """Thin curved lines: rims of dried puddles, edges of poured layers."""
    shape = surface.grey.shape
    field = noise(rng, shape, rng.uniform(100, 400), rng.uniform(8, 50))
    slope = np.hypot(*np.gradient(field)) + np.float32(1e-3)
    distance = abs(field - np.float32(rng.normal(0, 0.8))) / slope
    line = np.clip(np.float32(rng.uniform(0.4, 1.5)) + np.float32(0.5) - distance, 0, 1)
    line *= soft_step(noise(rng, shape, coarse=128, fine=16), 0.3, 1.0)
    surface.grey *= 1 + np.float32(rng.uniform(0.03, 0.22) * rng.choice([-1, -1, 1])) * line


THINGS: tuple[tuple[Callable[[np.random.Generator, Surface], None], float], ...] = (
    (_part, 0.25),
    (_cables, 0.2),
    (_grooves, 0.25),
    (_stains, 0.35),
    (_flecks, 0.35),
    (_holes, 0.3),
    (_plants, 0.15),
    (_paint, 0.15),
    (_bare_places, 0.3),
    (_drips, 0.25),
    (_tie_holes, 0.15),
    (_outlines, 0.3),
)  # and the share of the photographs that have it


def _line(
    rng: np.random.Generator, surface: Surface, bend: float, rough: float = 0.0
) -> tuple[Points, Points]:
    """A line (n, 2) across the photograph and the unit vector across it.

    It leaves its course by ``bend`` px slowly and by ``rough`` px from point to point. Most are
    nearly upright or level.
    """
    height, width = surface.grey.shape
    if rng.random() < 0.6:
        angle = rng.choice([0, np.pi / 2]) + rng.normal(0, 0.12)
    else:
        angle = rng.uniform(0, np.pi)
    reach = float(np.hypot(height, width))
    count = 2 * max(8, int(reach / 4))
    direction = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-direction[1], direction[0]])
    aside = bend * noise_1d(rng, count, 128, 32) + rough * noise_1d(rng, count, 4, 1)
    points = rng.uniform((0, 0), (width, height)) + aside[:, None] * across
    points = points + np.linspace(-reach, reach, count)[:, None] * direction
    near = ((points > -20) & (points < (width + 20, height + 20))).all(axis=1)
    return points[near], across


def _scribble(
    rng: np.random.Generator,
    start: Points,
    count: int,
    turn: float,
    step: float,
    heading: float | None = None,
) -> Points:
    """``count`` points ``step`` px apart that turn by ``turn`` radians (sd) at each.

    The first ``heading`` is any where none is given.
    """
    first = rng.uniform(0, 2 * np.pi) if heading is None else heading
    headings = first + np.cumsum(rng.normal(0, turn, count))
    steps = step * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    scribble: Points = start + np.cumsum(steps, axis=0)
    return scribble


def _stroke(surface: Surface, points: Points, width: float, strength: float) -> Field:
    """A stroke of even width on a canvas of its own; none where the line misses the picture."""
    canvas = np.zeros_like(surface.grey)
    if len(points) > 1:
        draw_stroke(canvas, points, np.full(len(points), width), strength)
    return canvas
