"""Lengths, directions and smoothing of curves that have formulas."""

import numpy as np
import pytest

from minispiral.measurement import curves


def test_a_circle_has_the_length_and_the_normals_of_a_circle(rng):
    radius = rng.uniform(20, 60)
    t = np.linspace(0, 1.5 * np.pi, 300)
    unit = np.stack([np.cos(t), np.sin(t)], axis=1)
    points = radius * unit
    assert curves.length(points) == pytest.approx(1.5 * np.pi * radius, rel=1e-4)
    across = curves.normals(points)
    assert np.abs((across * unit).sum(axis=1))[10:-10].min() > 0.999
    steps = np.hypot(*np.diff(curves.resampled(points, 1.5), axis=0).T)
    assert steps == pytest.approx(1.5, rel=0.01)


def test_smoothing_leaves_a_straight_line_where_it_is(rng):
    first, last = rng.uniform(0, 100, (2, 2))
    points = first + np.linspace(0, 1, 57)[:, None] * (last - first)
    assert curves.smoothed(points, rng.uniform(1, 4)) == pytest.approx(points, abs=1e-9)


def test_smoothing_takes_from_a_wave_what_a_gaussian_takes(rng):
    sigma, period = rng.uniform(1, 3), rng.uniform(12, 25)
    wave = np.sin(2 * np.pi * np.arange(400) / period)
    kept = curves.smoothed(wave, sigma)[50:-50] @ wave[50:-50] / (wave[50:-50] @ wave[50:-50])
    assert kept == pytest.approx(np.exp(-2 * (np.pi * sigma / period) ** 2), abs=0.01)


@pytest.mark.parametrize("reverse", [False, True])
def test_orientation_is_that_of_an_axis_with_y_upwards(rng, reverse):
    degrees = rng.uniform(0, 180)
    t = np.linspace(0, 80, 33)[:, None]
    points = t * np.array([np.cos(np.radians(degrees)), -np.sin(np.radians(degrees))])
    found = curves.orientation(points[::-1] if reverse else points)
    assert (found - degrees + 90) % 180 - 90 == pytest.approx(0, abs=1e-6)
    assert 0 <= found < 180


def test_heading_leads_out_of_either_end(rng):
    way = rng.standard_normal(2)
    way /= np.hypot(*way)
    points = np.arange(20)[:, None] * way
    assert curves.heading(points, 0) == pytest.approx(-way)
    assert curves.heading(points, 1) == pytest.approx(way)
