"""Counts at all thresholds at once, against loops over the thresholds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, grey_dilation
from skimage.morphology import thin as lines_of

from minispiral.detection.counts import THIN_THRESHOLDS, THRESHOLDS, Counts, count, count_thinned
from minispiral.detection.neighbourhoods import around
from tests.detection.maps import random_pair, smooth_map


def disc(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return y**2 + x**2 <= radius**2


def test_thresholds_rise_and_are_denser_than_a_hundredth() -> None:
    assert THRESHOLDS.dtype == np.float32
    assert (THRESHOLDS[0], THRESHOLDS[-1]) == (0, 1)
    assert np.diff(THRESHOLDS).min() > 0
    assert np.diff(THRESHOLDS).max() < 0.01
    np.testing.assert_array_equal(THRESHOLDS, 1 - THRESHOLDS[::-1])
    assert {0.25, 0.5, 0.75} <= set(THRESHOLDS.tolist())


def test_every_probability_counts_from_zero_to_the_last_threshold_that_it_reaches(rng) -> None:
    tails = 2.0 ** -rng.uniform(1, 40, 3000)
    values = np.concatenate([rng.random(3000), tails, 1 - tails, [-0.0, 1 + 1e-6]])
    beside = [np.nextafter(THRESHOLDS, np.float32(end)) for end in (-1, 2)]
    values = np.concatenate([values.astype(np.float32), THRESHOLDS, *beside])
    values = np.clip(values, 0, 2).reshape(1, -1)
    label = rng.random(values.shape) < 0.5
    found = count(values, label, None)
    np.testing.assert_array_equal(found.detected, [(values >= t).sum() for t in THRESHOLDS])
    np.testing.assert_array_equal(found.correct, [(values[label] >= t).sum() for t in THRESHOLDS])
    assert found.crack == label.sum()


@pytest.mark.parametrize("radius", [0, 1, 2, 3, 5, 20])
def test_neighbours_are_joined_over_a_euclidean_disc(rng, radius: int) -> None:
    values = smooth_map(rng, (37, 23), 0)
    mask = rng.random(values.shape) < 0.2
    padded = np.pad(values, radius)
    expected = grey_dilation(padded, footprint=disc(radius))[
        radius : padded.shape[0] - radius, radius : padded.shape[1] - radius
    ]
    np.testing.assert_array_equal(around(values, mask, radius), expected[mask])
    several = rng.integers(0, 2, values.shape).astype(bool)
    met = around(several, mask, radius, np.bitwise_or)
    np.testing.assert_array_equal(met, binary_dilation(several, disc(radius))[mask])


def test_wide_photographs_are_joined_in_strips(rng) -> None:
    values = rng.random((30, 100_003), np.float32)
    mask = rng.random(values.shape) < 0.001
    expected = grey_dilation(values, footprint=disc(2), mode="nearest")
    np.testing.assert_array_equal(around(values, mask, 2), expected[mask])


@given(seed=st.integers(0, 2**32), tolerance=st.integers(0, 4), levels=st.sampled_from([0, 2, 9]))
@settings(max_examples=30, deadline=None)
def test_counts_are_those_of_one_threshold_after_another(
    seed: int, tolerance: int, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    values, mask = random_pair(rng, bool(rng.integers(2)), levels)
    near = binary_dilation(mask, disc(tolerance))
    found = count(values, near, around(values, mask, tolerance) if tolerance else None)
    assert found.crack == mask.sum()
    for k in (0, len(THRESHOLDS) - 1, *rng.integers(len(THRESHOLDS), size=20)):
        detected = values >= THRESHOLDS[k]
        assert found.detected[k] == detected.sum()
        assert found.correct[k] == (detected & near).sum()
        assert found.found[k] == (mask & binary_dilation(detected, disc(tolerance))).sum()


@pytest.mark.parametrize("tolerance", [0, 2])
def test_thinned_counts_are_those_of_maps_thinned_one_by_one(rng, tolerance: int) -> None:
    values, mask = random_pair(rng, levels=int(rng.choice([0, 5])))
    lines = lines_of(mask)
    near = binary_dilation(lines, disc(tolerance))
    found = count_thinned(values, lines, near, tolerance)
    assert found.crack == lines.sum()
    assert len(THIN_THRESHOLDS) == 127
    for k, threshold in enumerate(THIN_THRESHOLDS):
        detected = lines_of(values >= threshold)
        assert found.detected[k] == detected.sum()
        assert found.correct[k] == (detected & near).sum()
        assert found.found[k] == (lines & binary_dilation(detected, disc(tolerance))).sum()


def counts(thresholds, found, detected) -> Counts:
    correct = np.array(found)
    return Counts(np.array(thresholds, np.float32), 10, correct, np.array(detected), correct)


def test_of_thresholds_that_are_equally_good_the_one_nearest_to_a_half_is_best() -> None:
    assert counts([0.1, 0.2, 0.4, 0.7, 0.9], [9, 8, 8, 8, 1], [20, 10, 10, 10, 1]).best() == 2


def test_average_precision_takes_the_largest_recall_so_far() -> None:
    falling = counts([0.2, 0.5, 0.8], [4, 6, 2], [8, 8, 2])
    assert falling.average_precision() == pytest.approx(0.2 * 1 + 0.4 * 6 / 8)
