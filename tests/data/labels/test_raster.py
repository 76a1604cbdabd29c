"""Shapes to pixels, against their definitions for each pixel and against Matplotlib."""

import numpy as np
import pytest
from matplotlib.path import Path as Outline

from minispiral.data.labels import raster
from minispiral.data.labels.raster import draw, reach
from minispiral.data.labels.shapes import Area, Line, Runs
from tests.data.labels import oracle


@pytest.fixture(params=[None, 100], ids=["at once", "in bands"])
def bands(request, monkeypatch):
    """Once with the bands and portions of large photographs."""
    if request.param is not None:
        monkeypatch.setattr(raster, "MOST_PIXELS", request.param)
        monkeypatch.setattr(raster, "MOST_CROSSINGS", request.param // 10)


def drawn(shape, height, width, line_width=3.0):
    canvas = np.zeros((height, width), bool)
    assert draw(shape, canvas, line_width) == canvas.any()
    return canvas


def some_points(rng, most=12, fewest=3):
    """Points in and around a picture of up to 60 pixels, one in three on the grid of halves."""
    points = rng.uniform(-20, 80, (rng.integers(fewest, most), 2))
    grid = rng.random(len(points)) < 0.3
    points[grid] = np.round(2 * points[grid]) / 2
    return points


@pytest.mark.usefixtures("bands")
def test_areas_hold_the_pixels_whose_centres_lie_inside(rng):
    for _ in range(25):
        h, w = rng.integers(1, 60, 2)
        ring, hole, other = (some_points(rng) for _ in range(3))
        found = drawn(Area([[ring, hole], [other]]), h, w)
        first = oracle.inside(ring, h, w) & ~oracle.inside(hole, h, w)
        expected = first | oracle.inside(other, h, w)
        on_border = [
            oracle.distance(np.vstack([r, r[:1]]), h, w) < 1e-9 for r in (ring, hole, other)
        ]
        sure = ~np.any(on_border, axis=0)
        np.testing.assert_array_equal(found[sure], expected[sure])


def test_areas_are_those_of_matplotlib(rng):
    h, w = 47, 61
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    radii = rng.uniform(5, 25, 9)
    ring = np.stack([30 + radii * np.cos(angles), 23 + radii * np.sin(angles)], axis=1)
    centres = np.stack(oracle.centres(h, w), axis=-1).reshape(-1, 2)
    expected = Outline(ring).contains_points(centres).reshape(h, w)
    np.testing.assert_array_equal(drawn(Area([[ring]]), h, w), expected)


@pytest.mark.usefixtures("bands")
def test_lines_hold_the_pixels_within_half_their_width(rng):
    for _ in range(25):
        h, w = rng.integers(1, 60, 2)
        points, line_width = some_points(rng, fewest=2), rng.uniform(1, 9)
        away = oracle.distance(points, h, w) - line_width / 2
        found = drawn(Line([points]), h, w, line_width)
        sure = np.abs(away) > 1e-9
        np.testing.assert_array_equal(found[sure], away[sure] < 0)


def test_the_same_point_twice_is_a_dot():
    found = drawn(Line([np.array([[5.5, 5.5], [5.5, 5.5]])]), 11, 11)
    assert found.sum() == 9
    assert found[4:7, 4:7].all()


@pytest.mark.parametrize("line_width", [1, 2, 3, 5])
@pytest.mark.parametrize("offset", [0.0, 0.25, 0.5, 0.9])
def test_straight_lines_have_exactly_their_width(line_width, offset):
    """Between rows too, where a centre on either border would make one more or one less."""
    across = np.array([[-9.0, 9 + offset], [50.0, 9 + offset]])
    assert (drawn(Line([across]), 20, 30, line_width).sum(axis=0) == line_width).all()
    assert (drawn(Line([across[:, ::-1]]), 30, 20, line_width).sum(axis=1) == line_width).all()


def test_lines_have_their_width_at_any_angle(rng):
    """On average over where they run between the pixels."""
    widths = []
    for _ in range(60):
        angle = rng.uniform(0, np.pi)
        along = np.array([np.cos(angle), np.sin(angle)])
        middle = 50 + rng.uniform(-1, 1, 2)
        found = drawn(Line([np.stack([middle - 40 * along, middle + 40 * along])]), 100, 100)
        widths.append((found.sum() - np.pi * 1.5**2) / 80)  # without the round ends
    assert np.mean(widths) == pytest.approx(3, abs=0.05)
    assert max(widths) < 3.6
    assert min(widths) > 2.5  # near 45 degrees pixels lie in rows 0.7 apart


def test_areas_side_by_side_share_no_pixel_and_leave_none(rng):
    h, w = 40, 50
    corners = np.array([[-1.0, -1.0], [51.0, -1.0], [51.0, 41.0], [-1.0, 41.0]])
    middle = np.round(rng.uniform(5, 35, 2) * 2) / 2
    count = sum(
        drawn(Area([[np.stack([corners[k - 1], corners[k], middle])]]), h, w).astype(int)
        for k in range(4)
    )
    np.testing.assert_array_equal(count, 1)


@pytest.mark.parametrize("by_rows", [True, False])
def test_runs(rng, by_rows):
    for _ in range(10):
        h, w = rng.integers(1, 20, 2)
        lengths, rest = [], h * w
        while rest:
            lengths.append(int(rng.integers(0, min(rest, 9) + 1)))
            rest -= lengths[-1]
        runs = Runs(np.array(lengths), (w, h), (0, 0), by_rows)
        np.testing.assert_array_equal(drawn(runs, h, w), oracle.from_runs(lengths, h, w, by_rows))
        x, y = map(int, rng.integers(-25, 25, 2))
        placed = np.zeros((90, 90), bool)
        placed[30 + y : 30 + y + h, 30 + x : 30 + x + w] = oracle.from_runs(lengths, h, w, by_rows)
        part = drawn(Runs(np.array(lengths), (w, h), (x, y), by_rows), 13, 17)
        np.testing.assert_array_equal(part, placed[30:43, 30:47])


def test_reach():
    low, high = reach(Line([np.array([[3.0, 9.0], [1.0, 5.0]]), np.array([[2.0, 12.0]])]))
    assert (low.tolist(), high.tolist()) == ([1, 5], [3, 12])
    low, high = reach(Runs(np.array([6]), (3, 2), (-4, 7)))
    assert (low.tolist(), high.tolist()) == ([-4, 7], [-1, 9])
