"""Centre lines and lengths against cracks whose truth is painted."""

import numpy as np
import pytest

from minispiral.measurement import Settings
from minispiral.measurement.centre import darkest_path, refined
from minispiral.measurement.curves import length
from minispiral.measurement.light import Light
from minispiral.measurement.lines import detected, lines
from tests.measurement.photograph import HEIGHT, WIDTH, Line, circle, photograph, straight, trace

MIDDLE = np.array([WIDTH, HEIGHT]) / 2


def centre(photo, drawn):
    settings = Settings()
    (stroke,) = lines(detected(trace([drawn]), settings), settings)
    return refined(Light(photo), stroke.points, settings)


def beside(points, line):
    """How far points are from a polyline, (n,)."""
    a, step = line.points[:-1], np.diff(line.points, axis=0)
    share = ((points[:, None] - a) * step).sum(axis=2) / (step**2).sum(axis=1)
    feet = a + share.clip(0, 1)[..., None] * step
    return np.hypot(*(points[:, None] - feet).transpose(2, 0, 1)).min(axis=1)


def shaken(rng, line):
    """The line as an unsteady hand would draw it: off by 1 px, never at the same place."""
    knots = np.linspace(0, len(line.points) - 1, 12)
    every = np.arange(len(line.points))
    off = [np.interp(every, knots, rng.standard_normal(12)) for _ in "xy"]
    return Line(line.points + np.stack(off, axis=1), line.widths)


@pytest.mark.parametrize("curved", [False, True])
def test_the_line_runs_in_the_middle_of_a_wide_floor(curved, rng):
    for width in rng.uniform(6, 12, 3):
        line = (
            circle(width, rng.uniform(35, 50)) if curved else straight(width, rng.uniform(0, 180))
        )
        photo = photograph(rng, [line], rng.uniform(0.35, 0.9), rng.uniform(0.5, 1.3))
        points = centre(photo, shaken(rng, line))
        off = beside(points[8:-8], line)
        assert np.sqrt((off**2).mean()) < 0.3


def wave(width, amplitude, period, turn):
    t = np.arange(-50, 50, 0.25)
    c, s = np.cos(turn), np.sin(turn)
    y = amplitude * np.sin(2 * np.pi * t / period)
    return Line(MIDDLE + np.stack([c * t - s * y, s * t + c * y], axis=1), np.full(len(t), width))


def test_wiggles_keep_the_length_that_blur_hides(rng):
    """10 px long, they are seen at half to three quarters of their size: 3 % and more of 7."""
    found, true = [], []
    for _ in range(4):
        line = wave(rng.uniform(1, 2), 0.9, 10.0, rng.uniform(0, np.pi))
        photo = photograph(rng, [line], 0.75, rng.uniform(0.6, 1.2), noise=0.005)
        found.append(length(centre(photo, line)))
        true.append(line.length)
    assert -0.02 < np.sum(found) / np.sum(true) - 1 < 0.035


def test_noise_makes_no_line_longer(rng):
    found, true = [], []
    for _ in range(4):
        line = straight(rng.uniform(0.5, 0.8), rng.uniform(0, 180))
        photo = photograph(rng, [line], 0.45, rng.uniform(0.8, 1.2), noise=0.03)
        found.append(length(centre(photo, line)))
        true.append(line.length)
    assert np.sum(found) == pytest.approx(np.sum(true), rel=0.027)


def test_the_darkest_path_costs_least(rng):
    cost, stiffness = rng.uniform(size=(5, 4)), rng.uniform(0, 0.3)
    ways = np.stack(np.meshgrid(*[np.arange(4)] * 5, indexing="ij"), axis=-1).reshape(-1, 5)
    steps = np.abs(np.diff(ways, axis=1))
    ways, steps = ways[steps.max(axis=1) <= 1], steps[steps.max(axis=1) <= 1]
    total = cost[np.arange(5), ways].sum(axis=1) + stiffness * steps.sum(axis=1)
    assert (darkest_path(cost, stiffness) == ways[total.argmin()]).all()
