"""F1 sums, losses and gradients against their definition, by hand and at the extremes."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.kernels import reference
from minispiral.kernels.cpu import losses, parallel

TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}
TINY = float(np.finfo(np.float32).tiny)  # below it float32 has fewer digits

both_dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32])
dtypes = st.sampled_from([np.float64, np.float32])
seeds = st.integers(0, 2**32)
shapes = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.just(1))
shares = st.sampled_from([0.0, 0.05, 0.5, 1.0])
BATCH = (32, 255, 255, 1)
PIXEL_LOSSES = {"balanced": (), "focal": (0.3, 1.7), "linear": ()}  # and their parameters


def random_batch(rng, shape, dtype, share, spread=3.0):
    """Logits, and a mask in which about this share of pixels is crack."""
    logits = (spread * rng.standard_normal(shape)).astype(dtype)
    return logits, rng.random(shape) < share


def gradients(kernels, logits, mask, sums):
    return {
        "Eq. 8": kernels.f1_grad(logits, mask, sums),
        "Eq. 10": kernels.cross_entropy_grad(logits, mask),
        "Eq. 11": kernels.pseudo_f1_grad(logits, mask, sums),
        **{
            name: getattr(kernels, f"{name}_grad")(logits, mask, *parameters)
            for name, parameters in PIXEL_LOSSES.items()
        },
    }


@given(shape=shapes, dtype=dtypes, share=shares, spread=st.sampled_from([0.1, 3, 40]), seed=seeds)
@settings(max_examples=80, deadline=None)
def test_small_batches_match_the_loops(shape, dtype, share, spread, seed):
    logits, mask = random_batch(np.random.default_rng(seed), shape, dtype, share, spread)
    tolerance = {"rtol": TOLERANCE[dtype], "atol": TINY}
    expected_sums = reference.f1_sums(logits, mask)
    np.testing.assert_allclose(losses.f1_sums(logits, mask), expected_sums, **tolerance)
    assert losses.f1_loss(expected_sums) == pytest.approx(reference.f1_loss(expected_sums))
    for name, parameters in {"cross_entropy": (), **PIXEL_LOSSES}.items():
        value, expected = (
            getattr(kernels, name)(logits, mask, *parameters) for kernels in (losses, reference)
        )
        assert value == pytest.approx(expected, rel=TOLERANCE[dtype]), name
    assert losses.sigmoid(logits).dtype == dtype
    np.testing.assert_allclose(losses.sigmoid(logits), reference.sigmoid(logits), **tolerance)
    expected = gradients(reference, logits, mask, expected_sums)
    tolerance["atol"] *= max(1, *reference.f1_weights(expected_sums))
    for name, g in gradients(losses, logits, mask, expected_sums).items():
        assert g.dtype == dtype
        assert g.shape == shape
        np.testing.assert_allclose(g, expected[name], **tolerance, err_msg=name)


@pytest.mark.parametrize("kernels", [reference, losses])
def test_four_pixels_worked_by_hand(kernels):
    """sigma = 1/4 and 3/4 on the cracks, 1/2 and 9/10 beside them."""
    logits = np.log([1 / 3, 3, 1, 9]).reshape(1, 2, 2, 1)
    mask = np.array([True, True, False, False]).reshape(1, 2, 2, 1)
    sums = kernels.f1_sums(logits, mask)
    assert sums == pytest.approx((2, 1, 2.4), rel=1e-14)
    assert kernels.f1_loss(sums) == pytest.approx(math.log(2.2), rel=1e-14)  # F1 = 2 / 4.4
    on, off = 1 - 1 / 4.4, 1 / 4.4
    expected = {
        "Eq. 8": [-on * 3 / 16, -on * 3 / 16, off / 4, off * 0.09],
        "Eq. 10": [-0.75 / 4, -0.25 / 4, 0.5 / 4, 0.9 / 4],
        "Eq. 11": [-on * 0.75, -on * 0.25, off * 0.5, off * 0.9],
        "balanced": [-0.75 / 2, -0.25 / 2, 0.5 / 2, 0.9 / 2],
        "linear": [-3 / 16 / 4, -3 / 16 / 4, 1 / 4 / 4, 0.09 / 4],
    }
    found = gradients(kernels, logits, mask, sums)
    for name, g in expected.items():
        np.testing.assert_allclose(found[name].ravel(), g, rtol=1e-13, err_msg=name)
    assert kernels.linear(logits, mask) == pytest.approx(-(1 / 4 + 3 / 4 + 1 / 2 + 1 / 10) / 4)
    assert kernels.balanced(logits, mask) == pytest.approx(math.log(16 / 3 * 20) / 2)
    # gamma = 2: the share of the wrong answer, squared
    focal = 9 / 16 * math.log(4) + 1 / 16 * math.log(4 / 3)
    focal = 0.25 * focal + 0.75 * (1 / 4 * math.log(2) + 0.81 * math.log(10))
    assert kernels.focal(logits, mask, 0.25, 2) == pytest.approx(focal / 4)
    product_of_likelihoods = 1 / 4 * 3 / 4 * 1 / 2 * 1 / 10
    assert kernels.cross_entropy(logits, mask) == pytest.approx(
        -math.log(product_of_likelihoods) / 4, rel=1e-14
    )


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
    for kernels in (reference, losses):
        g = kernels.pseudo_f1_grad(logits, mask, kernels.f1_sums(logits, mask))
        np.testing.assert_allclose(g, product, rtol=1e-12)


def test_f1_weights_are_those_of_eq_12_and_eq_13(rng):
    logits, mask = random_batch(rng, (2, 9, 7, 1), np.float64, 0.2)
    mask.flat[0] = True
    sigma = reference.sigmoid(logits)
    negatives = sigma[~mask].sum()
    for kernels in (reference, losses):
        sums = kernels.f1_sums(logits, mask)
        on, off = kernels.f1_weights(sums)
        ratio = (sums.n_pos + negatives) / sums.sum_pos
        assert on == pytest.approx(ratio / (sums.n_pos + sums.sum_all), rel=1e-12)
        assert on / off == pytest.approx(ratio, rel=1e-12)


@pytest.mark.parametrize("name", ["Eq. 8", "Eq. 10", *PIXEL_LOSSES])
def test_true_gradients_are_those_of_finite_differences(rng, name):
    logits, mask = random_batch(rng, (2, 4, 3, 1), np.float64, 0.3)
    mask.flat[0] = True

    def loss(x):
        if name == "Eq. 10":
            return losses.cross_entropy(x, mask)
        if name in PIXEL_LOSSES:
            return getattr(losses, name)(x, mask, *PIXEL_LOSSES[name])
        return losses.f1_loss(losses.f1_sums(x, mask))

    g = gradients(losses, logits, mask, losses.f1_sums(logits, mask))[name]
    for at in np.ndindex(*g.shape):
        step = np.zeros(g.shape)
        step[at] = 1e-5
        slope = (loss(logits + step) - loss(logits - step)) / 2e-5
        assert slope == pytest.approx(g[at], rel=1e-6, abs=1e-9)


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
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        sums = losses.f1_sums(logits, mask)
        entropy = losses.cross_entropy(logits, mask)
        found = gradients(losses, logits, mask, sums)
        sigma = losses.sigmoid(logits)
    expected = gradients(reference, logits, mask, reference.f1_sums(logits, mask))
    rtol = TOLERANCE[dtype]
    np.testing.assert_allclose(sums, reference.f1_sums(logits, mask), rtol=rtol, atol=TINY)
    assert entropy == pytest.approx(reference.cross_entropy(logits, mask), rel=rtol)
    for name, g in found.items():
        assert np.isfinite(g).all(), name
        assert (g[mask] <= 0).all(), name
        assert (g[~mask] >= 0).all(), name
        np.testing.assert_allclose(g, expected[name], rtol=rtol, atol=1e-30, err_msg=name)
    assert ((sigma >= 0) & (sigma <= 1)).all()


@pytest.mark.parametrize("kernels", [reference, losses])
def test_where_nothing_is_crack_the_rest_still_learns(rng, kernels):
    """No crack pixel: the loss is infinite, the others keep their Eq. 11, sigma / sum of sigma."""
    logits = rng.standard_normal((2, 6, 5, 1))
    mask = np.zeros(logits.shape, bool)
    sums = kernels.f1_sums(logits, mask)
    sigma = 1 / (1 + np.exp(-logits))
    assert kernels.f1_loss(sums) == math.inf
    np.testing.assert_allclose(
        kernels.pseudo_f1_grad(logits, mask, sums), sigma / sigma.sum(), rtol=1e-12
    )


@pytest.mark.parametrize("kernels", [reference, losses])
def test_where_all_is_crack_and_found_the_loss_is_zero(kernels):
    logits = np.full((1, 6, 5, 1), 50.0)
    mask = np.ones(logits.shape, bool)
    sums = kernels.f1_sums(logits, mask)
    assert sums == (30, 30, 30)
    assert kernels.f1_loss(sums) == 0
    # 1 - sigma is 2e-22 and not the 0 that subtraction would leave.
    g = kernels.pseudo_f1_grad(logits, mask, sums)
    np.testing.assert_allclose(g, -(1 / 30 - 1 / 60) * math.exp(-50), rtol=1e-12)


def test_a_whole_batch_in_float32_loses_nothing(rng):
    """Two million pixels, one crack pixel in 450, logits of a network that is nearly sure."""
    logits = rng.normal(-7, 3, BATCH).astype(np.float32)
    mask = rng.random(BATCH) < 1 / 450
    sums = losses.f1_sums(logits, mask)
    x = logits.astype(np.float64)
    sigma = 1 / (1 + np.exp(-x))
    assert all(np.asarray(number).dtype == np.float64 for number in sums)
    assert sums.n_pos == np.count_nonzero(mask)
    np.testing.assert_allclose(sums, (mask.sum(), sigma[mask].sum(), sigma.sum()), rtol=1e-7)
    entropy = np.logaddexp(np.where(mask, -x, x), 0).mean()
    assert losses.cross_entropy(logits, mask) == pytest.approx(entropy, rel=1e-7)
    on, off = 1 / sums.sum_pos - 1 / (sums.n_pos + sums.sum_all), 1 / (sums.n_pos + sums.sum_all)
    expected = np.where(mask, -on / (1 + np.exp(x)), off * sigma)
    np.testing.assert_allclose(losses.pseudo_f1_grad(logits, mask, sums), expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3, 5, 1), (5, 255, 253, 1)])
def test_same_bits_for_any_number_of_threads(rng, shape):
    logits, mask = random_batch(rng, shape, np.float32, 0.1)
    runs = []
    try:
        for count in (1, 2, 3, 2):
            parallel.set_threads(count)
            sums = losses.f1_sums(logits, mask)
            numbers = (*sums, losses.cross_entropy(logits, mask))
            runs.append((numbers, *gradients(losses, logits, mask, sums).values()))
    finally:
        parallel.set_threads(None)
    for other in runs[1:]:
        assert all(map(np.array_equal, runs[0], other))


@pytest.mark.parametrize("shape", [(2, 3, 5, 1), (5, 255, 253, 1)])
def test_results_are_fresh_and_inputs_untouched(rng, shape):
    logits, mask = random_batch(rng, shape, np.float32, 0.1)
    logits_before, mask_before = logits.copy(), mask.copy()
    sums = losses.f1_sums(logits, mask)
    losses.cross_entropy(logits, mask)
    found = [*gradients(losses, logits, mask, sums).values(), losses.sigmoid(logits)]
    kept = [g.copy() for g in found]
    again = gradients(losses, -logits, ~mask, sums).values()
    assert np.array_equal(logits, logits_before)
    assert np.array_equal(mask, mask_before)
    assert all(map(np.array_equal, found, kept))
    for g in found:
        assert not any(np.shares_memory(g, other) for other in (logits, *again))


def test_views_of_larger_arrays_count_as_their_copies(rng):
    logits, mask = random_batch(rng, (2, 9, 14, 2), np.float64, 0.3)
    logits, mask = logits[:, :, ::2, :1], mask[:, :, ::2, :1]
    sums = losses.f1_sums(logits, mask)
    assert sums == losses.f1_sums(logits.copy(), mask.copy())
    assert losses.cross_entropy(logits, mask) == losses.cross_entropy(logits.copy(), mask.copy())
    copies = gradients(losses, logits.copy(), mask.copy(), sums)
    for name, g in gradients(losses, logits, mask, sums).items():
        assert np.array_equal(g, copies[name])


def test_a_mask_that_does_not_fit_is_refused_by_name(rng):
    logits = rng.standard_normal((2, 11, 13, 1))
    sums = losses.f1_sums(logits, logits > 0)
    for mask in (np.zeros((2, 13, 11, 1), bool), np.zeros((2, 11, 13), bool)):
        for call in (
            lambda m=mask: losses.f1_sums(logits, m),
            lambda m=mask: losses.f1_grad(logits, m, sums),
            lambda m=mask: losses.pseudo_f1_grad(logits, m, sums),
            lambda m=mask: losses.cross_entropy(logits, m),
            lambda m=mask: losses.cross_entropy_grad(logits, m),
        ):
            with pytest.raises(ValueError, match=r"\(2, 11, 13, 1\)") as refusal:
                call()
            assert re.search(re.escape(str(mask.shape)), str(refusal.value))


def test_a_mask_of_numbers_is_refused(rng):
    """-1 and 1, the paper's labels, would both count as crack."""
    logits = rng.standard_normal((2, 5, 3, 1))
    with pytest.raises(ValueError, match="bool"):
        losses.f1_sums(logits, np.where(logits > 0, 1, -1))
