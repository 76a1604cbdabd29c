"""Losses and their gradients against their definition, by hand and at the extremes."""

import math
import re
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.kernels import losses, reference
from minispiral.kernels.cpu import parallel
from minispiral.kernels.loss_table import PixelLoss
from minispiral.kernels.losses import F1, LOSSES, CrossEntropy, Focal, PseudoF1

TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}
TINY = float(np.finfo(np.float32).tiny)  # below it float32 has fewer digits

both_dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32])
dtypes = st.sampled_from([np.float64, np.float32])
seeds = st.integers(0, 2**32)
shapes = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.just(1))
shares = st.sampled_from([0.0, 0.05, 0.5, 1.0])
BATCH = (32, 255, 255, 1)
# Every loss, with parameters that are not the defaults.
CASES = [loss(*(0.3, 1.7)[: len(loss.parameters())]) for loss in LOSSES.values()]

every_loss = pytest.mark.parametrize("loss", CASES, ids=lambda loss: loss.name)


def random_batch(rng, shape, dtype, share, spread=3.0):
    """Logits, and a mask in which about this share of pixels is crack."""
    logits = (spread * rng.standard_normal(shape)).astype(dtype)
    return logits, rng.random(shape) < share


def computed(loss, logits, mask):
    """The value and the gradient, by the kernels."""
    sums = losses.sums(loss, logits, mask)
    return losses.value(loss, sums, logits.size), losses.gradient(loss, logits, mask, sums)


def expected(loss, logits, mask):
    """The same by the loops, which go by the name of the loss."""
    return getattr(reference, loss.name.replace("-", "_"))(logits, mask, *astuple(loss))


def by_both(loss, logits, mask):
    return computed(loss, logits, mask), expected(loss, logits, mask)


def assert_alike(loss, found, wanted, logits, mask):
    """Values and gradients agree as far as the dtype of the logits allows."""
    (value, gradient), (wanted_value, wanted_gradient) = found, wanted
    tolerance = TOLERANCE[logits.dtype.type]
    # The others are functions of a ratio of sums: a relative error of that is an absolute one.
    absolute = TINY if isinstance(loss, PixelLoss) else tolerance
    assert np.asarray(value).dtype == np.float64
    assert value == pytest.approx(wanted_value, rel=tolerance, abs=absolute), loss
    assert gradient.dtype == logits.dtype
    assert gradient.shape == logits.shape
    sums = losses.sums(loss, logits.astype(np.float64), mask)
    lost = TINY * max(1, *loss.weights(sums, logits.size))
    np.testing.assert_allclose(
        gradient, wanted_gradient, rtol=tolerance, atol=lost, err_msg=loss.name
    )


@given(shape=shapes, dtype=dtypes, share=shares, spread=st.sampled_from([0.1, 3, 40]), seed=seeds)
@settings(max_examples=80, deadline=None)
def test_small_batches_match_the_loops(shape, dtype, share, spread, seed):
    logits, mask = random_batch(np.random.default_rng(seed), shape, dtype, share, spread)
    tolerance = {"rtol": TOLERANCE[dtype], "atol": TINY}
    sums = losses.sums(F1(), logits, mask)
    np.testing.assert_allclose(sums, reference.f1_sums(logits, mask), **tolerance)
    for loss in CASES:
        assert_alike(loss, *by_both(loss, logits, mask), logits, mask)


def test_four_pixels_worked_by_hand():
    """sigma = 1/4 and 3/4 on the cracks, 1/2 and 9/10 elsewhere."""
    logits = np.log([1 / 3, 3, 1, 9]).reshape(1, 2, 2, 1)
    mask = np.array([True, True, False, False]).reshape(1, 2, 2, 1)
    for sums in (losses.sums(F1(), logits, mask), reference.f1_sums(logits, mask)):
        assert sums == pytest.approx((2, 1, 2.4), rel=1e-14)
    f1 = 2 / 4.4
    on, off = 1 - 1 / 4.4, 1 / 4.4
    focal = 9 / 16 * math.log(4) + 1 / 16 * math.log(4 / 3)
    # gamma = 2: the share of the wrong answer, squared
    focal = 0.25 * focal + 0.75 * (1 / 4 * math.log(2) + 0.81 * math.log(10))
    by_hand = {
        "f1": (-math.log(f1), [-on * 3 / 16, -on * 3 / 16, off / 4, off * 0.09]),
        "pseudo-f1": (-math.log(f1), [-on * 0.75, -on * 0.25, off * 0.5, off * 0.9]),
        "cross-entropy": (
            -math.log(1 / 4 * 3 / 4 * 1 / 2 * 1 / 10) / 4,
            [-0.75 / 4, -0.25 / 4, 0.5 / 4, 0.9 / 4],
        ),
        "balanced": (math.log(16 / 3 * 20) / 2, [-0.75 / 2, -0.25 / 2, 0.5 / 2, 0.9 / 2]),
        "linear": (
            -(1 / 4 + 3 / 4 + 1 / 2 + 1 / 10) / 4,
            [-3 / 16 / 4, -3 / 16 / 4, 1 / 4 / 4, 0.09 / 4],
        ),
        "focal": (focal / 4, None),
        "tversky": (
            1 - f1,
            [-1.7 / 4.84 * 3 / 16, -1.7 / 4.84 * 3 / 16, 0.5 / 4.84 / 4, 0.5 / 4.84 * 0.09],
        ),
    }
    for name, (value, gradient) in by_hand.items():
        for found, g in by_both(LOSSES[name](), logits, mask):
            assert found == pytest.approx(value, rel=1e-13), name
            if gradient is not None:
                np.testing.assert_allclose(g.ravel(), gradient, rtol=1e-13, err_msg=name)


@given(shape=shapes, share=shares, seed=seeds)
@settings(max_examples=40, deadline=None)
def test_eq_11_is_the_product_of_its_three_factors(shape, share, seed):
    """|Eq. 7| x derivative of Eq. 10 by sigma x derivative of sigma by the logit."""
    logits, mask = random_batch(np.random.default_rng(seed), shape, np.float64, share, spread=2)
    mask.flat[0] = True
    sigma = 1 / (1 + np.exp(-logits))
    n_pos, sum_pos, sum_all = mask.sum(), sigma[mask].sum(), sigma.sum()
    eq_7 = np.where(mask, 1 / (n_pos + sum_all) - 1 / sum_pos, 1 / (n_pos + sum_all))
    eq_10 = np.where(mask, -1 / sigma, 1 / (1 - sigma))
    product = np.abs(eq_7) * eq_10 * sigma * (1 - sigma)
    for _, gradient in by_both(PseudoF1(), logits, mask):
        np.testing.assert_allclose(gradient, product, rtol=1e-12)


def test_f1_weights_are_those_of_eq_12_and_eq_13(rng):
    logits, mask = random_batch(rng, (2, 9, 7, 1), np.float64, 0.2)
    mask.flat[0] = True
    sigma = reference.sigmoid(logits)
    negatives = sigma[~mask].sum()
    sums = losses.sums(F1(), logits, mask)
    n_pos, sum_pos, sum_all = sums
    ratio = (n_pos + negatives) / sum_pos
    for on, off in (F1().weights(sums, logits.size), reference.f1_weights(sums)):
        assert on == pytest.approx(ratio / (n_pos + sum_all), rel=1e-12)
        assert on / off == pytest.approx(ratio, rel=1e-12)


@pytest.mark.parametrize("loss", [loss for loss in CASES if loss.exact], ids=lambda loss: loss.name)
def test_true_gradients_are_those_of_finite_differences(rng, loss):
    logits, mask = random_batch(rng, (2, 4, 3, 1), np.float64, 0.3)
    mask.flat[0] = True
    _, gradient = computed(loss, logits, mask)
    for at in np.ndindex(*gradient.shape):
        step = np.zeros(gradient.shape)
        step[at] = 1e-5
        (above, _), (below, _) = (computed(loss, x, mask) for x in (logits + step, logits - step))
        assert (above - below) / 2e-5 == pytest.approx(gradient[at], rel=1e-6, abs=1e-9)


@both_dtypes
@pytest.mark.parametrize("crack", ["none", "some", "all"])
@pytest.mark.parametrize("value", [-1e4, 1e4, "right", "wrong", "mixed"])
def test_saturated_logits_stay_finite(rng, dtype, crack, value):
    shape = (2, 5, 7, 1)
    mask = {"none": np.zeros(shape, bool), "all": np.ones(shape, bool)}.get(
        crack, rng.random(shape) < 0.3
    )
    if crack == "some":
        mask.flat[:2] = True, False
    logits = {
        "right": np.where(mask, 1e4, -1e4),
        "wrong": np.where(mask, -1e4, 1e4),
        "mixed": rng.choice((-1e4, -100, 0, 100, 1e4), shape),
    }.get(value, np.full(shape, value))
    logits = np.asarray(logits, dtype)
    rtol = TOLERANCE[dtype]
    sums = losses.sums(F1(), logits, mask)
    np.testing.assert_allclose(sums, reference.f1_sums(logits, mask), rtol=rtol, atol=TINY)
    for loss in CASES:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            found, gradient = computed(loss, logits, mask)
        wanted, wanted_gradient = expected(loss, logits, mask)
        assert np.isfinite(gradient).all(), loss
        assert (gradient[mask] <= 0).all(), loss
        assert (gradient[~mask] >= 0).all(), loss
        assert found == pytest.approx(wanted, rel=rtol, abs=TINY), loss
        np.testing.assert_allclose(
            gradient, wanted_gradient, rtol=rtol, atol=1e-30, err_msg=loss.name
        )


def test_where_nothing_is_crack_the_rest_still_learns(rng):
    """No crack pixel: the loss is infinite, the others keep their Eq. 11, sigma / sum of sigma."""
    logits = rng.standard_normal((2, 6, 5, 1))
    mask = np.zeros(logits.shape, bool)
    sigma = 1 / (1 + np.exp(-logits))
    for value, gradient in by_both(PseudoF1(), logits, mask):
        assert value == math.inf
        np.testing.assert_allclose(gradient, sigma / sigma.sum(), rtol=1e-12)


def test_tversky_of_a_batch_without_crack_is_one_and_learns_nothing(rng):
    logits = rng.standard_normal((2, 6, 5, 1))
    for value, gradient in by_both(LOSSES["tversky"](), logits, np.zeros(logits.shape, bool)):
        assert value == 1
        assert not gradient.any()


def test_tversky_with_halves_is_one_minus_f1(rng):
    """Dice's coefficient is the F1 score; with alpha = beta = 1 it is the Jaccard index."""
    logits, mask = random_batch(rng, (2, 6, 5, 1), np.float64, 0.3)
    f1 = math.exp(-computed(F1(), logits, mask)[0])
    dice, jaccard = (computed(LOSSES["tversky"](a, a), logits, mask)[0] for a in (0.5, 1.0))
    assert dice == pytest.approx(1 - f1, rel=1e-12)
    assert jaccard == pytest.approx(1 - f1 / (2 - f1), rel=1e-12)


def test_where_all_is_crack_and_found_the_loss_is_zero():
    logits = np.full((1, 6, 5, 1), 50.0)
    mask = np.ones(logits.shape, bool)
    assert losses.sums(F1(), logits, mask) == reference.f1_sums(logits, mask) == (30, 30, 30)
    for value, gradient in by_both(PseudoF1(), logits, mask):
        assert value == 0
        # 1 - sigma is 2e-22 and not the 0 that subtraction would leave.
        np.testing.assert_allclose(gradient, -(1 / 30 - 1 / 60) * math.exp(-50), rtol=1e-12)


def test_a_whole_batch_in_float32_loses_nothing(rng):
    """Two million pixels, one crack pixel in 450, logits of a network that is nearly sure."""
    logits = rng.normal(-7, 3, BATCH).astype(np.float32)
    mask = rng.random(BATCH) < 1 / 450
    sums = losses.sums(F1(), logits, mask)
    n_pos, sum_pos, sum_all = sums
    x = logits.astype(np.float64)
    sigma = 1 / (1 + np.exp(-x))
    assert all(np.asarray(number).dtype == np.float64 for number in sums)
    assert n_pos == np.count_nonzero(mask)
    np.testing.assert_allclose(sums, (mask.sum(), sigma[mask].sum(), sigma.sum()), rtol=1e-7)
    entropy = np.logaddexp(np.where(mask, -x, x), 0).mean()
    assert computed(CrossEntropy(), logits, mask)[0] == pytest.approx(entropy, rel=1e-7)
    on, off = 1 / sum_pos - 1 / (n_pos + sum_all), 1 / (n_pos + sum_all)
    wanted = np.where(mask, -on / (1 + np.exp(x)), off * sigma)
    np.testing.assert_allclose(computed(PseudoF1(), logits, mask)[1], wanted, rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3, 5, 1), (5, 255, 253, 1)])
def test_same_bits_for_any_number_of_threads(rng, shape):
    logits, mask = random_batch(rng, shape, np.float32, 0.1)
    runs = []
    try:
        for count in (1, 2, 3, 2):
            parallel.set_threads(count)
            results = [computed(loss, logits, mask) for loss in CASES]
            runs.append([array for result in results for array in result])
    finally:
        parallel.set_threads(None)
    for other in runs[1:]:
        assert all(map(np.array_equal, runs[0], other))


@pytest.mark.parametrize("shape", [(2, 3, 5, 1), (5, 255, 253, 1)])
def test_results_are_fresh_and_inputs_untouched(rng, shape):
    logits, mask = random_batch(rng, shape, np.float32, 0.1)
    logits_before, mask_before = logits.copy(), mask.copy()
    found = [computed(loss, logits, mask)[1] for loss in CASES]
    kept = [g.copy() for g in found]
    again = [computed(loss, -logits, ~mask)[1] for loss in CASES]
    assert np.array_equal(logits, logits_before)
    assert np.array_equal(mask, mask_before)
    assert all(map(np.array_equal, found, kept))
    for g in found:
        assert not any(np.shares_memory(g, other) for other in (logits, *again))


@every_loss
def test_views_of_larger_arrays_count_as_their_copies(rng, loss):
    logits, mask = random_batch(rng, (2, 9, 14, 2), np.float64, 0.3)
    logits, mask = logits[:, :, ::2, :1], mask[:, :, ::2, :1]
    value, gradient = computed(loss, logits, mask)
    of_copies, gradient_of_copies = computed(loss, logits.copy(), mask.copy())
    assert value == of_copies
    assert np.array_equal(gradient, gradient_of_copies)


@every_loss
def test_a_mask_that_does_not_fit_is_refused_by_name(rng, loss):
    logits = rng.standard_normal((2, 11, 13, 1))
    sums = losses.sums(loss, logits, logits > 0)
    for mask in (np.zeros((2, 13, 11, 1), bool), np.zeros((2, 11, 13), bool)):
        for call in (
            lambda m=mask: losses.sums(loss, logits, m),
            lambda m=mask: losses.gradient(loss, logits, m, sums),
        ):
            with pytest.raises(ValueError, match=r"\(2, 11, 13, 1\)") as refusal:
                call()
            assert re.search(re.escape(str(mask.shape)), str(refusal.value))


def test_a_mask_of_numbers_is_refused(rng):
    """-1 and 1, the paper's labels, would both count as crack."""
    logits = rng.standard_normal((2, 5, 3, 1))
    with pytest.raises(ValueError, match="bool"):
        losses.sums(F1(), logits, np.where(logits > 0, 1, -1))


def test_parameters_have_defaults_and_ranges():
    alpha, gamma = Focal.parameters().values()
    assert (alpha.default, gamma.default) == astuple(Focal()) == (0.25, 2.0)
    assert not any(alpha.range.contains(value) for value in (0, 1, -1, math.nan))
    assert gamma.range.contains(0)
    assert not any(gamma.range.contains(value) for value in (-1, math.inf, math.nan))
    for loss in LOSSES.values():
        assert all(p.range.contains(p.default) for p in loss.parameters().values())
