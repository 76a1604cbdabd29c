"""ODS, OIS and IoU against loops over thresholds and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation
from sklearn.metrics import average_precision_score, jaccard_score, precision_recall_curve

from minispiral.detection.counts import THRESHOLDS
from minispiral.detection.metrics import score_photo, summarize
from tests.detection.maps import random_pair
from tests.detection.test_counts import disc

TOLERANCE = {"rtol": 0, "atol": 1e-12}


def f1_of(crack: int, found: int, detected: int, correct: int) -> float:
    precision, recall = (correct / detected if detected else 0), found / crack
    return 2 * precision * recall / (precision + recall) if precision + recall else 0


def index_of(threshold: float) -> int:
    return THRESHOLDS.tolist().index(threshold)


def table(values, mask, tolerance) -> np.ndarray:
    """Crack, found, detected and correct pixels at each threshold, one after another."""
    near, rows = binary_dilation(mask, disc(tolerance)), []
    for threshold in THRESHOLDS:
        detected = values >= threshold
        close = binary_dilation(detected, disc(tolerance)) if tolerance else detected
        rows.append((mask.sum(), (mask & close).sum(), detected.sum(), (detected & near).sum()))
    return np.array(rows)


@given(
    seed=st.integers(0, 2**32),
    cracked=st.integers(1, 3),
    empty=st.integers(0, 2),
    levels=st.sampled_from([0, 1, 4]),
    tolerance=st.sampled_from([0, 0, 2]),
)
@settings(max_examples=6, deadline=None)
def test_scores_of_a_set_are_those_of_plain_loops(
    seed: int, cracked: int, empty: int, levels: int, tolerance: int
) -> None:
    rng = np.random.default_rng(seed)
    pairs = [random_pair(rng, i < cracked, levels) for i in range(cracked + empty)]
    found = summarize([score_photo("a", *pair, tolerance=tolerance) for pair in pairs])
    tables = [table(*pair, tolerance) for pair in pairs]
    pooled = [f1_of(*row) for row in sum(tables)]
    own = [[f1_of(*row) for row in rows] for rows in tables[:cracked]]
    at_best = sum(
        rows[index_of(photo.best_threshold)]
        for rows, photo in zip(tables[:cracked], found.photos, strict=False)
    )
    np.testing.assert_allclose(found.ods, max(pooled), **TOLERANCE)
    np.testing.assert_allclose(pooled[index_of(found.ods_threshold)], found.ods, **TOLERANCE)
    np.testing.assert_allclose(found.ois, np.mean([max(f1) for f1 in own]), **TOLERANCE)
    np.testing.assert_allclose(found.pooled_ois, f1_of(*at_best), **TOLERANCE)
    for photo, f1 in zip(found.photos, own, strict=False):
        np.testing.assert_allclose(photo.best_f1, max(f1), **TOLERANCE)
    overlaps = [((p >= 0.5) & m).sum() for p, m in pairs]
    unions = [((p >= 0.5) | m).sum() for p, m in pairs]
    iou = np.divide(overlaps, np.maximum(unions, 1))
    np.testing.assert_allclose(found.iou, iou[:cracked].mean(), **TOLERANCE)
    np.testing.assert_allclose(found.pooled_iou, sum(overlaps) / sum(unions), **TOLERANCE)
    assert [photo.iou for photo in found.photos[cracked:]] == [None] * empty
    assert [photo.best_f1 for photo in found.photos[cracked:]] == [None] * empty


@given(seed=st.integers(0, 2**32), photos=st.integers(1, 4), levels=st.sampled_from([1, 2, 16]))
@settings(max_examples=25, deadline=None)
def test_scores_of_a_set_are_those_of_scikit_learn(seed: int, photos: int, levels: int) -> None:
    """Where all probabilities are among the thresholds, as sixteenths are."""
    rng = np.random.default_rng(seed)
    pairs = [random_pair(rng, levels=levels) for _ in range(photos)]
    found = summarize([score_photo("a", *pair) for pair in pairs])

    def best(values, mask) -> float:
        precision, recall, _ = precision_recall_curve(mask.ravel(), values.ravel())
        both = precision + recall
        return float((2 * precision * recall / np.where(both, both, 1)).max())

    values, mask = (
        np.concatenate([array.ravel() for array in arrays]) for arrays in zip(*pairs, strict=True)
    )
    np.testing.assert_allclose(found.ods, best(values, mask), **TOLERANCE)
    np.testing.assert_allclose(found.ois, np.mean([best(*pair) for pair in pairs]), **TOLERANCE)
    pooled = average_precision_score(mask, values)
    np.testing.assert_allclose(found.pooled_average_precision, pooled, **TOLERANCE)
    np.testing.assert_allclose(found.pooled_iou, jaccard_score(mask, values >= 0.5), **TOLERANCE)
    iou = [jaccard_score(m.ravel(), p.ravel() >= 0.5) for p, m in pairs]
    np.testing.assert_allclose(found.iou, np.mean(iou), **TOLERANCE)


def test_thresholds_between_miss_little_of_the_best(rng) -> None:
    """What is lost to thresholds that are no score of the map, where all scores differ."""
    mask = np.zeros((200, 301), bool)
    mask[90:93] = True
    logits = rng.normal(-6, 3, mask.shape) + 9 * mask
    values = (1 / (1 + np.exp(-logits))).astype(np.float32)
    found = score_photo("a", values, mask)
    precision, recall, _ = precision_recall_curve(mask.ravel(), values.ravel())
    best = (2 * precision * recall / np.maximum(precision + recall, 1e-9)).max()
    assert best - 2e-3 < found.best_f1 <= best
    assert summarize([found]).pooled_average_precision == pytest.approx(
        found.average_precision, abs=2e-3
    )


def test_a_set_without_crack_has_no_best_threshold() -> None:
    plain = score_photo("plain", np.full((4, 6), 0.6, np.float32), np.zeros((4, 6), bool))
    found = summarize([plain])
    names = ("iou", "ods", "ods_threshold", "ois", "pooled_ois", "pooled_iou")
    assert [getattr(found, name) for name in names] == [None] * len(names)
    assert found.pooled_average_precision is None


def test_false_alarms_on_photographs_without_crack_count_in_ods_alone(rng) -> None:
    values, mask = random_pair(rng)
    cracked = score_photo("cracked", values, mask)
    alarms = score_photo("plain", np.ones((40, 50), np.float32), np.zeros((40, 50), bool))
    alone, both = summarize([cracked]), summarize([cracked, alarms])
    assert both.ods < alone.ods == alone.ois
    assert both.ois == alone.ois
    assert both.iou == alone.iou


def test_lines_are_scored_as_lines_but_overlap_as_it_is() -> None:
    mask, values = np.zeros((21, 30), bool), np.zeros((21, 30), np.float32)
    mask[9:12], values[10:15] = True, 0.75
    thinned = score_photo("a", values, mask, tolerance=3, thin=True)
    assert thinned.thin
    assert thinned.detected_pixels <= 30
    assert thinned.label_pixels <= 30 < thinned.crack_pixels
    assert thinned.f1 == thinned.best_f1 == 1
    assert thinned.iou == pytest.approx(60 / (90 + 150 - 60))
    assert score_photo("a", values, mask, tolerance=1, thin=True).precision == 0
