"""Records as JSON, and in millimetres."""

import json

import numpy as np
import pytest

from minispiral.errors import UserError
from minispiral.measurement import scale as scales
from minispiral.measurement.records import (
    Caveat,
    Contrast,
    Estimate,
    MeasuredCrack,
    Measurement,
    Places,
    Reason,
    Rest,
)
from minispiral.measurement.scale import Scale


def example(rng):
    m = 7
    places = Places(
        np.arange(m) * 6.0,
        rng.uniform(0, 90, (m, 2)).round(2),
        np.append(rng.uniform(0, 3, m - 1).round(3), np.nan),
        np.zeros(m),
        np.ones(m),
        tuple(rng.choice(list(Reason), m)),
    )
    crack = MeasuredCrack(
        crack=3,
        branch=1,
        points=rng.uniform(0, 90, (50, 2)).round(2),
        length=49.25,
        bridged=0.0,
        mean=Estimate(1.5, 1.25, 2.0),
        p95=Estimate(2.0, 1.5, 2.5),
        maximum=Estimate(),
        maximum_at=(float("nan"), float("nan")),
        orientation=30.0,
        probability=0.9,
        places=places,
        notes=("no width",),
    )
    contrast = Contrast(0.7, 0.4, 0.9, Rest.PRIOR)
    caveats = (Caveat("sharpened", "Text."),)
    return Measurement(90, 80, (crack,), contrast, 0.8, 0.0, 0.3, caveats, "srgb", Scale(0.2, 0.01))


def test_json_holds_all_of_it(rng):
    measured = example(rng)
    text = json.dumps(measured.to_json(), allow_nan=False)
    again = Measurement.from_json(json.loads(text))
    assert json.dumps(again.to_json()) == text
    (crack,), (other,) = measured.cracks, again.cracks
    assert crack.number == other.number == "3.1"
    assert (crack.points == other.points).all()
    assert np.array_equal(crack.places.width, other.places.width, equal_nan=True)
    assert crack.places.reasons == other.places.reasons
    assert other.mean == crack.mean
    assert not other.maximum.known
    assert again.scale == measured.scale


def test_a_scale_multiplies_and_adds_its_own_error(rng):
    mm, share = rng.uniform(0.05, 0.5), rng.uniform(0.01, 0.1)
    width = Estimate(2.0, 1.5, 3.0)
    exact = width.scaled(Scale(mm))
    assert (exact.value, exact.low, exact.high) == pytest.approx((2 * mm, 1.5 * mm, 3 * mm))
    rough = width.scaled(Scale(mm, share))
    assert rough.value == exact.value
    assert rough.high / mm - 2 == pytest.approx(np.hypot(1.0, 1.96 * share * 2))
    assert width.scaled(None) == width
    below = Estimate(0.5, 0.1, 3.0).scaled(Scale(mm, 0.9))
    assert below.low == 0
    for unknown in (Estimate(), Estimate(1.0), Estimate(1.0, high=2.0)):
        shown = unknown.scaled(Scale(mm, share))
        assert np.isnan(shown.low)
        assert shown.known == unknown.known
    measured = example(rng)
    assert (measured.unit, measured.with_scale(None).unit) == ("mm", "px")
    assert measured.with_scale(None).shown(width) == width


def test_scales_follow_from_points_and_from_cameras(rng):
    a, b = rng.uniform(0, 1000, (2, 2))
    mm = rng.uniform(10, 500)
    found = scales.from_points(tuple(a), tuple(b), mm)
    assert found.mm_per_pixel * np.hypot(*(a - b)) == pytest.approx(mm)
    # A wall 2.024 m away through 24 mm: a pixel of 4 um sees 2000 / 24 times itself.
    assert scales.from_camera(2024, 24, 4).mm_per_pixel == pytest.approx(2000 / 24 * 0.004)
    full = scales.from_full_frame(2024, 24, 6000, 4000, 20)
    assert full.mm_per_pixel == pytest.approx(2000 / 24 * 36 / 6000)
    # Of a sensor of another shape the diagonal is alike, not the width: 43.27 mm (CIPA DCG-001).
    width, height = (int(side) for side in rng.integers(500, 5000, 2))
    other = scales.from_full_frame(2024, 24, width, height)
    diagonal = other.mm_per_pixel * np.hypot(width, height)
    assert diagonal == pytest.approx(2000 / 24 * 43.2666, rel=1e-6)
    assert full.relative_sd == pytest.approx(np.hypot(0.01, 0.29 / 24))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Scale(0.0),
        lambda: Scale(float("nan")),
        lambda: Scale(0.2, -0.1),
        lambda: scales.from_points((1, 1), (2, 2), 10),
        lambda: scales.from_points((1, 1), (200, 2), -1),
        lambda: scales.from_camera(20, 24, 4),
        lambda: scales.from_camera(2000, 0, 4),
        lambda: scales.from_camera(2000, 24, 0),
        lambda: scales.from_full_frame(2000, 24, 0, 4000),
        lambda: scales.from_full_frame(2000, 24, 6000, 0),
    ],
)
def test_a_scale_that_cannot_be_is_refused(make):
    with pytest.raises(UserError, match="expected"):
        make()
