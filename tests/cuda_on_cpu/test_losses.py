"""The CUDA kernels of the losses, on the CPU, against loops and against their NumPy twins."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.kernels import losses
from minispiral.kernels.losses import F1, CrossEntropy, PseudoF1
from tests.cuda_on_cpu import in_both_orders, needs_compiler
from tests.kernels.test_losses import (
    CASES,
    TOLERANCE,
    assert_alike,
    both_dtypes,
    computed,
    dtypes,
    every_loss,
    expected,
    random_batch,
    seeds,
    shapes,
    shares,
)

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]


def on_gpu(loss, logits, mask):
    """The value and the gradient, by the CUDA kernels."""
    return in_both_orders(partial(computed, loss), logits, mask)


@given(shape=shapes, dtype=dtypes, share=shares, spread=st.sampled_from([0.1, 3, 40]), seed=seeds)
@settings(max_examples=25, deadline=None)
def test_small_batches_match_the_loops(shape, dtype, share, spread, seed):
    batch = random_batch(np.random.default_rng(seed), shape, dtype, share, spread)
    for loss in CASES:
        assert_alike(loss, on_gpu(loss, *batch), expected(loss, *batch), *batch)


@every_loss
@both_dtypes
def test_batches_of_several_blocks_match_the_numpy_twins(rng, dtype, loss):
    batch = random_batch(rng, (3, 71, 67, 1), dtype, 0.1)
    sums = in_both_orders(partial(losses.sums, loss), *batch)
    assert sums.dtype == np.float64
    np.testing.assert_allclose(sums, losses.sums(loss, *batch), rtol=TOLERANCE[dtype])
    assert_alike(loss, on_gpu(loss, *batch), computed(loss, *batch), *batch)


@every_loss
@both_dtypes
def test_saturated_logits_stay_finite(rng, dtype, loss):
    mask = rng.random((2, 5, 7, 1)) < 0.3
    logits = rng.choice((-1e4, -100, 0, 100, 1e4), mask.shape).astype(dtype)
    _, gradient = on_gpu(loss, logits, mask)
    assert np.isfinite(gradient).all()
    _, wanted = expected(loss, logits, mask)
    np.testing.assert_allclose(gradient, wanted, rtol=TOLERANCE[dtype], atol=1e-30)


def test_where_nothing_is_crack_the_rest_still_learns(rng):
    logits, mask = random_batch(rng, (2, 6, 5, 1), np.float64, 0)
    value, gradient = on_gpu(PseudoF1(), logits, mask)
    assert value == np.inf
    sigma = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(gradient, sigma / sigma.sum(), rtol=1e-12)


def test_what_is_not_a_number_shows(rng):
    logits, mask = random_batch(rng, (2, 6, 5, 1), np.float32, 0.3)
    logits[1, 2, 3, 0] = np.nan
    assert np.isnan(in_both_orders(partial(losses.sums, F1()), logits, mask)[2])
    value, gradient = on_gpu(CrossEntropy(), logits, mask)
    assert np.isnan(value)
    assert np.argwhere(np.isnan(gradient)).tolist() == [[1, 2, 3, 0]]


def test_masks_that_do_not_fit_are_refused(rng):
    logits, mask = random_batch(rng, (2, 6, 5, 1), np.float32, 0.3)
    sums = np.zeros(3)
    for wrong in (mask[:1], mask.astype(np.uint8)):
        with pytest.raises(ValueError, match="expected a boolean mask"):
            in_both_orders(partial(losses.sums, F1()), logits, wrong)
        with pytest.raises(ValueError, match="expected a boolean mask"):
            in_both_orders(partial(losses.gradient, F1()), logits, wrong, sums)
