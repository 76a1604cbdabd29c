"""Scores against scikit-learn's, where many pixels share a score and where none do."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from minispiral.detection.metrics import average_precision, score_photo, summarize

TOLERANCE = {"rtol": 0, "atol": 1e-12}

dtypes = st.sampled_from([np.float32, np.float64])
sides = st.tuples(st.integers(1, 24), st.integers(1, 24))
seeds = st.integers(0, 2**32 - 1)


@st.composite
def maps(draw: st.DrawFn, dtype: type = np.float32) -> tuple[NDArray, NDArray[np.bool_]]:
    """Probabilities, from all equal to all different, and a crack, from one pixel to all."""
    rng = np.random.default_rng(draw(seeds))
    shape = draw(sides)
    levels = draw(st.sampled_from([1, 2, 3, 10, 10**9]))
    probability = (rng.integers(1, levels, shape, endpoint=True) / levels).astype(dtype)
    if draw(st.booleans()):  # two scores at most, and no number between them
        half = dtype(0.5)
        probability = np.where(probability > half, np.nextafter(half, dtype(1)), half)
    mask = rng.random(shape) < draw(st.sampled_from([0, 0.03, 0.5, 1]))
    mask.flat[rng.integers(mask.size)] = True
    return probability, mask


def precision_recall_f1(mask, detected) -> tuple[float, float, float]:
    """With precision and F1 of 0 where nothing is detected."""
    return precision_recall_fscore_support(
        mask.ravel(), detected.ravel(), average="binary", zero_division=0
    )[:3]


@given(drawn=dtypes.flatmap(maps))
@settings(max_examples=200, deadline=None)
def test_average_precision(drawn) -> None:
    probability, mask = drawn
    expected = average_precision_score(mask.ravel(), probability.ravel())
    np.testing.assert_allclose(average_precision(probability, mask), expected, **TOLERANCE)


@given(drawn=maps(), threshold=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0, 1.5]))
@settings(max_examples=200, deadline=None)
def test_the_scores_of_a_photo(drawn, threshold: float) -> None:
    probability, mask = drawn
    scores = score_photo("a", probability, mask, threshold)
    expected = (
        average_precision_score(mask.ravel(), probability.ravel()),
        *precision_recall_f1(mask, probability >= threshold),
    )
    ours = scores.average_precision, scores.precision, scores.recall, scores.f1
    np.testing.assert_allclose(ours, expected, **TOLERANCE)


@given(cracked=st.lists(maps(), min_size=1, max_size=4), plain=st.lists(maps(), max_size=2))
@settings(max_examples=50, deadline=None)
def test_the_pooled_scores_of_photos(cracked, plain) -> None:
    pairs = cracked + [(probability, np.zeros_like(mask)) for probability, mask in plain]
    summary = summarize([score_photo("a", *pair) for pair in pairs])
    probability, mask = (
        np.concatenate([array.ravel() for array in arrays]) for arrays in zip(*pairs, strict=True)
    )
    ours = summary.pooled_precision, summary.pooled_recall, summary.pooled_f1
    np.testing.assert_allclose(ours, precision_recall_f1(mask, probability >= 0.5), **TOLERANCE)
