"""Scores against plain loops over their definitions."""

import json
from math import nan

import numpy as np
import pytest

from minispiral.detection.metrics import average_precision, dilate, score_photo, summarize
from minispiral.errors import UserError


def average_precision_by_definition(scores, labels):
    """Sum over all distinct scores of (R_n - R_(n-1)) P_n, one threshold after another."""
    total, recall_before = 0.0, 0.0
    for threshold in sorted(set(scores.ravel().tolist()), reverse=True):
        detected = true = positives = 0
        for score, label in zip(scores.ravel().tolist(), labels.ravel().tolist(), strict=True):
            positives += label
            detected += score >= threshold
            true += label and score >= threshold
        recall = true / positives
        total += (recall - recall_before) * true / detected
        recall_before = recall
    return total


def within(mask, y, x, radius):
    """Whether a true pixel of the mask lies within the radius of pixel (y, x)."""
    return any((i - y) ** 2 + (j - x) ** 2 <= radius**2 for i, j in np.argwhere(mask))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("distinct", [2, 7, 10**6])
def test_average_precision_is_the_sum_over_distinct_scores(rng, dtype, distinct):
    shape = (rng.integers(3, 12), rng.integers(3, 12))
    scores = (rng.integers(0, distinct, shape) / distinct).astype(dtype)
    labels = rng.random(shape) < 0.3
    labels.flat[rng.integers(labels.size)] = True
    expected = average_precision_by_definition(scores, labels)
    assert average_precision(scores, labels) == pytest.approx(expected, abs=1e-12)


def test_average_precision_of_known_cases():
    labels = np.array([True, True, False, False, False])
    assert average_precision(np.array([0.9, 0.8, 0.3, 0.2, 0.1]), labels) == 1
    assert average_precision(np.full(5, 0.5), labels) == pytest.approx(2 / 5)
    # Thresholds 0.9, 0.8, 0.7: recall 1/2, 1/2, 1 with precision 1, 1/2, 2/3.
    scores = np.array([0.9, 0.7, 0.8, 0.1, 0.0])
    assert average_precision(scores, labels) == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
    assert average_precision(np.array([0.2]), np.array([True])) == 1


def test_average_precision_takes_a_mask_of_numbers(rng):
    scores, mask = rng.random((5, 7)), rng.random((5, 7)) < 0.5
    mask[0, 0] = True
    numbers = mask.astype(np.uint8) * 255
    assert average_precision(scores, numbers) == average_precision(scores, mask)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (np.zeros(3), np.ones(4, bool), r"\(3,\).*\(4,\)"),
        (np.zeros(3), np.zeros(3, bool), "at least one positive"),
        (np.array([0, nan, 1]), np.array([True, True, False]), "NaN"),
        (np.array([0, nan, 1]), np.array([True, False, False]), "NaN"),
    ],
)
def test_average_precision_refuses(scores, labels, message):
    with pytest.raises(UserError, match=message):
        average_precision(scores, labels)


@pytest.mark.parametrize("radius", [0, 1, 2, 3, 5, 20])
def test_dilation_is_a_euclidean_disc(rng, radius):
    mask = rng.random(rng.integers(1, 14, 2)) < 0.03
    expected = [
        [within(mask, y, x, radius) for x in range(mask.shape[1])] for y in range(mask.shape[0])
    ]
    np.testing.assert_array_equal(dilate(mask, radius), expected)


@pytest.mark.parametrize("tolerance", [0, 1, 3])
def test_scores_of_a_photo_count_pixels(rng, tolerance):
    shape = (11, 17)
    probability = rng.random(shape, np.float32)
    mask = rng.random(shape) < 0.05
    mask[5, 5] = True
    threshold = 0.9
    probability[0, 0] = 0.95
    crack, found, detected, correct, quiet, alarms = 0, 0, 0, 0, 0, 0
    for y in range(shape[0]):
        for x in range(shape[1]):
            hit = bool(probability[y, x] >= threshold)
            near_crack = within(mask, y, x, tolerance)
            crack += bool(mask[y, x])
            quiet += not mask[y, x]
            detected += hit
            correct += hit and near_crack
            alarms += hit and not near_crack
            found += bool(mask[y, x]) and within(probability >= threshold, y, x, tolerance)
    scores = score_photo("a", probability, mask, threshold, tolerance)
    precision, recall = correct / detected, found / crack
    assert scores.precision == pytest.approx(precision)
    assert scores.recall == pytest.approx(recall)
    f1 = 2 * precision * recall / (precision + recall) if correct else 0
    assert scores.f1 == pytest.approx(f1)
    assert scores.false_alarm_rate == pytest.approx(alarms / quiet)
    assert scores.crack_pixels == crack
    assert scores.tolerance == tolerance
    expected = average_precision_by_definition(probability, mask)
    assert scores.average_precision == pytest.approx(expected)


def test_nothing_detected_scores_zero():
    mask = np.zeros((5, 5), bool)
    mask[2] = True
    scores = score_photo("a", np.full((5, 5), 0.4, np.float32), mask)
    assert (scores.precision, scores.recall, scores.f1) == (0, 0, 0)
    assert scores.average_precision == pytest.approx(1 / 5)


def test_a_detection_beside_the_crack_counts_only_with_tolerance():
    mask, probability = np.zeros((9, 9), bool), np.zeros((9, 9), np.float32)
    mask[4], probability[6] = True, 0.5
    assert score_photo("a", probability, mask, tolerance=1).f1 == 0
    assert score_photo("a", probability, mask, tolerance=2).f1 == 1


def test_photos_without_crack_are_counted_apart(rng):
    cracked = np.zeros((10, 10), bool)
    cracked[3] = True
    perfect = score_photo("crack", cracked.astype(np.float32), cracked)
    half = score_photo("half", cracked * (np.arange(10) < 5) * np.float32(1), cracked)
    alarms = (rng.permutation(100).reshape(10, 10) < 7).astype(np.float32)
    plain = score_photo("plain", alarms, np.zeros((10, 10), bool))
    assert (plain.precision, plain.recall, plain.f1, plain.average_precision) == (None,) * 4
    assert plain.false_alarm_rate == pytest.approx(0.07)

    summary = summarize([perfect, half, plain])
    assert summary.recall == pytest.approx(0.75)
    assert summary.precision == 1
    assert summary.f1 == pytest.approx((1 + 2 / 3) / 2)
    assert summary.average_precision == pytest.approx((1 + 0.5 + 0.5 * 0.1) / 2)
    assert (summary.photos_with_crack, summary.photos_without_crack) == (2, 1)
    assert summary.false_alarm_rate_without_crack == pytest.approx(0.07)
    assert summary.pooled_precision == pytest.approx(15 / 22)
    assert summary.pooled_recall == pytest.approx(15 / 20)
    assert summary.pooled_f1 == pytest.approx(2 * 15 / (22 + 20))


def test_only_photos_without_crack_leave_the_scores_open():
    plain = score_photo("plain", np.zeros((4, 6), np.float32), np.zeros((4, 6), bool))
    summary = summarize([plain])
    assert summary.f1 is summary.recall is summary.average_precision is summary.pooled_f1 is None
    assert summary.false_alarm_rate_without_crack == 0


def test_as_dict_is_plain_json(rng):
    photos = [
        score_photo(name, rng.random((6, 8), np.float32), rng.random((6, 8)) < share, 0.5, 2)
        for name, share in (("a", 0.5), ("b", 0.0), ("c", 1.1))
    ]
    plain = json.loads(json.dumps(summarize(photos).as_dict(), allow_nan=False))
    assert plain == summarize(photos).as_dict()
    assert {"average_precision", "precision", "recall", "f1", "pooled_f1"} <= plain.keys()
    assert [photo["name"] for photo in plain["photos"]] == ["a", "b", "c"]
    assert plain["photos"][1]["f1"] is None
    assert plain["tolerance"] == plain["photos"][0]["tolerance"] == 2


def test_scoring_refuses_what_cannot_be_compared(rng):
    probability, mask = rng.random((4, 5), np.float32), np.ones((4, 5), bool)
    with pytest.raises(UserError, match=r"a\.jpg.*\(4, 5\).*\(5, 4\)"):
        score_photo("a.jpg", probability, mask.T)
    with pytest.raises(UserError, match="tolerance of -1"):
        score_photo("a.jpg", probability, mask, tolerance=-1)
    with pytest.raises(UserError, match=r"a\.jpg.*NaN"):
        score_photo("a.jpg", np.full((4, 5), nan, np.float32), ~mask)
    with pytest.raises(UserError, match="2 settings"):
        summarize([score_photo("a", probability, mask, t) for t in (0.5, 0.6)])
    with pytest.raises(UserError, match="at least one photograph"):
        summarize([])
