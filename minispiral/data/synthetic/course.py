"""How a crack runs across a photograph, and how a person traces it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minispiral.data.crack import Crack
from minispiral.data.synthetic.painting import Field, draw_stroke, noise_1d

STEP = 2.0  # pixels between the points of a crack
TRACE_WIDTH = 3.0  # pixels, of a person's trace


@dataclass(frozen=True)
class Course:
    """How crooked a crack is: smooth bends, and sudden turns as around stones in the concrete."""

    bend: float  # radians, sd of the heading's slow changes
    turn: float  # radians, sd of sudden turns ...
    longest: int  # steps: ... each of which lasts fewer
    jitter: float  # pixels, sd of each point


def grow(
    rng: np.random.Generator,
    course: Course,
    start: NDArray[np.float64],
    heading: float,
    length: float,
    height: int,
    width: int,
) -> NDArray[np.float64]:
    """Walk at most ``length`` pixels from ``start``, stopping at the edge of the photograph."""
    count = max(2, int(length / STEP))
    turns = rng.normal(0, course.turn, count)
    turns = np.repeat(turns, rng.integers(1, course.longest, count))[:count]
    headings = heading + course.bend * noise_1d(rng, count, 128, 16) + turns
    steps = STEP * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    points = np.vstack([start, start + np.cumsum(steps, axis=0)])
    points[1:] += rng.normal(0, course.jitter, (count, 2))
    outside = ((points < 0) | (points >= (width, height))).any(axis=1)
    return points[: np.argmax(outside)] if outside.any() else points


def branch_heading(rng: np.random.Generator, trunk: NDArray[np.float64], at: int) -> float:
    """Where a branch heads that leaves ``trunk`` at point ``at``, to either side."""
    along = trunk[at + 1] - trunk[at]
    turn = rng.choice([-1, 1]) * rng.uniform(0.5, 1.3)
    return float(np.arctan2(along[1], along[0]) + turn)


def trace(
    rng: np.random.Generator,
    cracks: Sequence[Crack],
    height: int,
    width: int,
    every: int,
    unsteady: float,
    margin: float | None = None,
) -> NDArray[np.bool_]:
    """Trace the cracks as a person would: across short gaps, cutting corners, slightly off.

    Clicks on every ``every``-th point, off by ``unsteady`` pixels (sd), are joined by lines of
    `TRACE_WIDTH`, or as wide as the crack and ``margin`` pixels more where that is wider.
    """
    canvas: Field = np.zeros((height, width), np.float32)
    for crack in cracks:
        clicks = np.arange(0, len(crack.points), every)
        clicks = np.append(clicks, len(crack.points) - 1)
        points = crack.points[clicks] + unsteady * rng.standard_normal((len(clicks), 2))
        widths = np.full(len(clicks), TRACE_WIDTH)
        if margin is not None:
            widths = np.maximum(widths, crack.widths[clicks] + margin)
        draw_stroke(canvas, points, widths)
    return canvas >= 0.5
