"""From photograph and mask to widths and lengths, against cracks whose truth is painted."""

import sys
from collections import Counter

import numpy as np
import pytest

from minispiral.errors import UserError
from minispiral.measurement import Reading, Scale, measure
from minispiral.measurement.records import Reason, Rest
from tests.measurement.photograph import (
    HEIGHT,
    WIDTH,
    Line,
    circle,
    photograph,
    straight,
    trace,
)


def test_intervals_hold_whatever_the_contrast(rng):
    """Each holds with 95 %: of 12 means, fewer than 8 do so once in 100,000 times."""
    held, errors = 0, []
    for _ in range(12):
        line = straight(rng.uniform(0.7, 4), rng.uniform(0, 180))
        photo = photograph(rng, [line], rng.uniform(0.4, 0.95), rng.uniform(0.5, 1.3))
        (crack,) = measure(photo, trace([line])).cracks
        held += crack.mean.low <= line.widths[0] <= crack.mean.high
        errors.append(crack.mean.value / line.widths[0] - 1)
        assert crack.length == pytest.approx(line.length, rel=0.025)
    assert held >= 8
    assert np.median(np.abs(errors)) < 0.3  # the distance transform is off by 0.5 to 3


@pytest.mark.parametrize(("blur", "least", "off"), [(0.7, 0.45, 0.15), (1.4, 0.6, 0.5)])
def test_a_wide_place_tells_the_contrast(blur, least, off, rng):
    """Widths are off by far less where 4 px are six times the blur than where they are three."""
    contrast = rng.uniform(least, 0.9)
    turn = rng.uniform(10, 80)
    lines = [straight(rng.uniform(1, 2), turn, shift=-28), straight(4, turn, shift=28)]
    found = measure(photograph(rng, lines, contrast, blur), trace(lines))
    assert found.contrast.rests is Rest.WIDE
    assert found.contrast.low <= contrast <= found.contrast.high
    narrow, wide = sorted(found.cracks, key=lambda crack: crack.mean.value)
    assert narrow.mean.value == pytest.approx(lines[0].widths[0], abs=off)
    assert wide.mean.value == pytest.approx(4, abs=off)
    assert wide.mean.low <= 4 <= wide.mean.high


def test_a_reading_fixes_the_contrast(rng):
    contrast = rng.choice([0.4, 0.92])
    line = straight(1.6, rng.uniform(0, 180))
    photo, mask = photograph(rng, [line], contrast), trace([line])
    (unread,) = measure(photo, mask).cracks
    place = line.points.mean(axis=0) + rng.uniform(-3, 3, 2)
    scale = Scale(rng.uniform(0.1, 0.4))
    reading = Reading(*place, 1.6 * scale.mm_per_pixel, 0.05 * scale.mm_per_pixel)
    found = measure(photo, mask, readings=[reading], scale=scale)
    (crack,) = found.cracks
    assert found.contrast.rests is Rest.CARD
    assert crack.mean.value == pytest.approx(1.6, abs=0.3)
    assert abs(crack.mean.value - 1.6) < abs(unread.mean.value - 1.6)
    assert crack.mean.high - crack.mean.low < unread.mean.high - unread.mean.low
    assert found.shown(crack.mean).value == pytest.approx(crack.mean.value * scale.mm_per_pixel)


def test_a_wide_crack_is_measured_at_half_depth(rng):
    line = circle(rng.uniform(6, 11), 48)
    (crack,) = measure(photograph(rng, [line], rng.uniform(0.4, 0.95)), trace([line])).cracks
    assert crack.mean.value == pytest.approx(line.widths[0], abs=0.3)
    # Its ends are round: they reach half of the width farther than the line.
    assert 0.98 * line.length < crack.length < 1.02 * (line.length + line.widths[0])


def test_a_taper_is_wide_where_it_is_wide(rng):
    line = Line(straight(1, rng.uniform(0, 360)).points, np.array([0.8, 4.0]))
    (crack,) = measure(photograph(rng, [line]), trace([line])).cracks
    assert crack.maximum.low < 3.9 < crack.maximum.high + 0.5
    assert np.hypot(*(np.array(crack.maximum_at) - line.points[1])) < 25
    assert crack.mean.low < 2.4 < crack.mean.high


def test_places_where_lines_cross_do_not_count(rng):
    turn = rng.uniform(0, 180)
    lines = [straight(2, turn), straight(2, turn + rng.uniform(60, 90))]
    found = measure(photograph(rng, lines), trace(lines))
    assert [crack.number for crack in found.cracks] == ["1", "1.1"]
    middle = np.array([WIDTH, HEIGHT]) / 2
    for crack in found.cracks:
        far = np.hypot(*(crack.places.points - middle).T)
        reasons = [crack.places.reasons[i] for i in np.flatnonzero(far < 10)]
        assert set(reasons) <= {Reason.JUNCTION, Reason.NEIGHBOUR}
        assert reasons
        assert crack.places.counted[far > 20].mean() > 0.7


def test_lines_near_each_other_and_near_the_border_do_not_count(rng):
    lines = [straight(1.5, 0, shift=s) for s in (-4.5, 4.5, 70)]
    found = measure(photograph(rng, lines), trace(lines))
    reasons = [Counter(crack.places.reasons) for crack in found.cracks]
    assert sorted(str(each.most_common(1)[0][0]) for each in reasons) == [
        "border",
        "too near another",
        "too near another",
    ]
    assert all(crack.notes == ("no width",) for crack in found.cracks)
    assert not any(crack.mean.known for crack in found.cracks)


def test_a_hole_on_a_crack_is_not_its_width(rng):
    line = straight(1.5, rng.uniform(0, 180))
    photo = photograph(rng, [line])
    rows, cols = np.indices(photo.shape[:2]) + 0.5
    hole = (4.5 - np.hypot(cols - WIDTH / 2, rows - HEIGHT / 2)).clip(0, 1)
    photo = (photo * (1 - 0.6 * hole[..., None])).astype(np.uint8)
    (crack,) = measure(photo, trace([line])).cracks
    middle = np.hypot(*(crack.places.points - [WIDTH / 2, HEIGHT / 2]).T) < 4
    assert not crack.places.counted[middle].any()
    assert crack.maximum.value < 3


def test_linear_pixels_are_told(rng):
    line = straight(2, rng.uniform(0, 180))
    photo, mask = photograph(rng, [line], transfer="linear"), trace([line])
    (crack,) = measure(photo, mask, transfer="linear").cracks
    assert crack.mean.low <= 2 <= crack.mean.high


def test_a_photograph_without_cracks(rng):
    photo = photograph(rng, [])
    found = measure(photo, np.zeros(photo.shape[:2], np.uint8))
    assert found.cracks == ()
    assert found.contrast.rests is Rest.PRIOR
    assert found.to_json()["limit"] is None


def test_bytes_probabilities_and_masks_are_one(rng):
    line = straight(1.5, rng.uniform(0, 180))
    photo, mask = photograph(rng, [line]), trace([line])
    a, b = (measure(photo, p).to_json() for p in (255 * mask.astype(np.uint8), mask * 1.0))
    assert a == b
    assert a["cracks"][0]["probability"] > 0.95


def test_what_does_not_fit_is_refused(rng):
    line = straight(2, rng.uniform(0, 180))
    photo, mask = photograph(rng, [line]), trace([line])
    with pytest.raises(UserError, match="same height and width"):
        measure(photo, mask[1:])
    with pytest.raises(UserError, match="without a scale"):
        measure(photo, mask, readings=[Reading(80, 80, 0.2)])
    with pytest.raises(UserError, match="within 15 pixels"):
        measure(photo, mask, readings=[Reading(1, 1, 0.2)], scale=Scale(0.1))
    with pytest.raises(UserError, match="expected more than 0"):
        Reading(1, 1, 0.0)


def test_without_scipy_it_says_what_to_install(rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(UserError, match=r"pip install 'minispiral\[measure\]'"):
        measure(np.zeros((50, 50, 3), np.uint8), np.zeros((50, 50), bool))
