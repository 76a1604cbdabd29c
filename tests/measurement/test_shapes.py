"""Drawn cracks of all shapes: measured they are as long as drawn, and nothing counts twice."""

import numpy as np
import pytest

from minispiral.measurement import measure
from minispiral.measurement.records import Reason
from tests.measurement.photograph import HEIGHT, WIDTH, Line, photograph, straight, trace

MIDDLE = np.array([WIDTH, HEIGHT]) / 2
FULL = 2 * np.pi


def curve(x, y):
    return Line(MIDDLE + np.stack([x, y], axis=1), np.full(len(x), 1.5))


def arm(start, angle, length):
    t = np.linspace(0, length, 30)
    return curve(start[0] + t * np.cos(angle), start[1] + t * np.sin(angle))


def ring(across, down):
    t = np.linspace(0, FULL, 200)
    return curve(across * np.cos(t), down * np.sin(t))


def star(rng):
    """Three or four cracks from one place."""
    count, turn = rng.integers(3, 5), rng.uniform(0, FULL)
    return [
        arm((0, 0), turn + FULL * k / count + rng.uniform(-0.2, 0.2), rng.uniform(35, 60))
        for k in range(count)
    ]


def short_branch(rng):
    turn = rng.uniform(0, 180)
    return [
        straight(1.5, turn),
        arm((0, 0), np.radians(turn) + rng.uniform(1, 2), rng.uniform(14, 30)),
    ]


def closed(rng):
    radius = rng.uniform(15, 55)
    return [ring(radius, radius * rng.uniform(0.7, 1))]


def ring_with_tail(rng):
    radius = rng.uniform(15, 30)
    return [ring(radius, radius), arm((radius, 0), rng.uniform(-0.6, 0.6), 40)]


def ring_halved(rng):
    radius = rng.uniform(25, 50)
    return [ring(radius, radius), arm((-radius, 0), 0, 2 * radius)]


def loop(rng):
    """A crack that crosses itself."""
    t, size = np.linspace(-1.5, 1.5, 300), rng.uniform(22, 28)
    return [curve(1.2 * size * (t * t - 1), size * t * (t * t - 1))]


def lattice(rng):
    turn = rng.uniform(0, 180)
    return [straight(1.5, turn + more, shift=s) for more in (0, 90) for s in (-20, 20)]


def along_the_border(rng):
    y = rng.uniform(1, 4) - HEIGHT / 2
    return [arm((-60, y), 0, 120)]


def across_the_photograph(rng):
    """From border to border, as far as the photograph shows it."""
    y = rng.uniform(-40, 40, 2)
    return [curve(np.linspace(-WIDTH / 2, WIDTH / 2, 50), np.linspace(*y, 50))]


@pytest.mark.parametrize(
    "shape",
    [
        star,
        short_branch,
        closed,
        ring_with_tail,
        ring_halved,
        loop,
        lattice,
        along_the_border,
        across_the_photograph,
    ],
)
def test_measured_lengths_are_those_drawn(shape, rng):
    lines = shape(rng)
    found = measure(photograph(rng, lines), trace(lines))
    drawn = sum(line.length for line in lines)
    assert len({crack.crack for crack in found.cracks}) == 1 or shape is lattice
    # A free end or junction is found within 1 px or two, and a lattice has eight ends.
    bound = 12 if shape is lattice else max(5, 0.02 * drawn)
    assert sum(crack.length for crack in found.cracks) == pytest.approx(drawn, abs=bound)
    assert sum(crack.bridged for crack in found.cracks) == 0


def test_where_a_crack_crosses_itself_no_width_counts(rng):
    (line,) = loop(rng)
    (crack,) = measure(photograph(rng, [line]), trace([line])).cracks
    crossing = line.points[np.argmin(np.abs(np.linspace(-1.5, 1.5, 300) - 1))]
    near = np.hypot(*(crack.places.points - crossing).T) < 8
    assert near.any()
    reasons = {crack.places.reasons[i] for i in np.flatnonzero(near)}
    assert reasons <= {Reason.JUNCTION, Reason.NEIGHBOUR}


def test_the_sides_of_a_narrow_ring_disturb_each_other(rng):
    line = ring(45, 4)
    (crack,) = measure(photograph(rng, [line]), trace([line])).cracks
    flat = np.flatnonzero(np.abs(crack.places.points[:, 0] - MIDDLE[0]) < 25)
    assert len(flat) > 6
    assert {crack.places.reasons[i] for i in flat} == {Reason.NEIGHBOUR}
