"""The CUDA kernels of the losses, on the CPU, against loops and against their NumPy twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.kernels import reference
from minispiral.kernels.cpu import losses
from minispiral.kernels.cuda import losses as cuda
from tests.cuda_on_cpu import in_both_orders, needs_compiler
from tests.kernels.test_losses import (
    PIXEL_LOSSES,
    TINY,
    TOLERANCE,
    both_dtypes,
    dtypes,
    gradients,
    random_batch,
    seeds,
    shapes,
    shares,
)

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]

VALUES = {"cross_entropy": (), **PIXEL_LOSSES}
GRADIENTS = {
    "Eq. 8": "f1_grad",
    "Eq. 10": "cross_entropy_grad",
    "Eq. 11": "pseudo_f1_grad",
    **{name: f"{name}_grad" for name in PIXEL_LOSSES},
}


def cuda_gradients(logits, mask, sums):
    """As `gradients` of the NumPy twins."""
    numbers = np.array(sums)
    extra = {"Eq. 8": (numbers,), "Eq. 11": (numbers,), "Eq. 10": (), **PIXEL_LOSSES}
    return {
        name: in_both_orders(getattr(cuda, function), logits, mask, *extra[name])
        for name, function in GRADIENTS.items()
    }


def assert_alike(kernels, logits, mask):
    """All kernels of the file give what those of another one do."""
    tolerance = {"rtol": TOLERANCE[logits.dtype.type], "atol": TINY}
    expected_sums = kernels.f1_sums(logits, mask)
    sums = in_both_orders(cuda.f1_sums, logits, mask)
    assert sums.dtype == np.float64
    np.testing.assert_allclose(sums, expected_sums, **tolerance)
    loss = in_both_orders(cuda.f1_loss, np.array(expected_sums))
    np.testing.assert_allclose(loss, kernels.f1_loss(expected_sums), rtol=1e-12, atol=1e-15)
    for name, parameters in VALUES.items():
        value = in_both_orders(getattr(cuda, name), logits, mask, *parameters)
        expected = getattr(kernels, name)(logits, mask, *parameters)
        assert value.dtype == np.float64
        assert value == pytest.approx(expected, rel=tolerance["rtol"]), name
    sigma = in_both_orders(cuda.sigmoid, logits)
    np.testing.assert_allclose(sigma, kernels.sigmoid(logits), **tolerance)
    expected_gradients = gradients(kernels, logits, mask, expected_sums)
    tolerance["atol"] *= max(1, *kernels.f1_weights(expected_sums))
    for name, g in cuda_gradients(logits, mask, expected_sums).items():
        assert g.dtype == logits.dtype
        assert g.shape == logits.shape
        np.testing.assert_allclose(g, expected_gradients[name], **tolerance, err_msg=name)


@given(shape=shapes, dtype=dtypes, share=shares, spread=st.sampled_from([0.1, 3, 40]), seed=seeds)
@settings(max_examples=25, deadline=None)
def test_small_batches_match_the_loops(shape, dtype, share, spread, seed):
    assert_alike(reference, *random_batch(np.random.default_rng(seed), shape, dtype, share, spread))


@both_dtypes
def test_batches_of_several_blocks_match_the_numpy_twins(rng, dtype):
    assert_alike(losses, *random_batch(rng, (3, 71, 67, 1), dtype, 0.1))


@both_dtypes
def test_saturated_logits_stay_finite(rng, dtype):
    mask = rng.random((2, 5, 7, 1)) < 0.3
    logits = rng.choice((-1e4, -100, 0, 100, 1e4), mask.shape).astype(dtype)
    sums = in_both_orders(cuda.f1_sums, logits, mask)
    expected = gradients(reference, logits, mask, reference.f1_sums(logits, mask))
    for name, g in cuda_gradients(logits, mask, sums).items():
        assert np.isfinite(g).all(), name
        np.testing.assert_allclose(g, expected[name], rtol=TOLERANCE[dtype], atol=1e-30)


def test_where_nothing_is_crack_the_rest_still_learns(rng):
    logits, mask = random_batch(rng, (2, 6, 5, 1), np.float64, 0)
    sums = in_both_orders(cuda.f1_sums, logits, mask)
    assert in_both_orders(cuda.f1_loss, sums) == np.inf
    sigma = 1 / (1 + np.exp(-logits))
    g = in_both_orders(cuda.pseudo_f1_grad, logits, mask, sums)
    np.testing.assert_allclose(g, sigma / sigma.sum(), rtol=1e-12)


def test_what_is_not_a_number_shows(rng):
    logits, mask = random_batch(rng, (2, 6, 5, 1), np.float32, 0.3)
    logits[1, 2, 3, 0] = np.nan
    assert np.isnan(in_both_orders(cuda.f1_sums, logits, mask)[2])
    assert np.isnan(in_both_orders(cuda.cross_entropy, logits, mask))
    g = in_both_orders(cuda.cross_entropy_grad, logits, mask)
    assert np.argwhere(np.isnan(g)).tolist() == [[1, 2, 3, 0]]


def test_masks_that_do_not_fit_are_refused(rng):
    logits, mask = random_batch(rng, (2, 6, 5, 1), np.float32, 0.3)
    for wrong in (mask[:1], mask.astype(np.uint8)):
        for function in (cuda.f1_sums, cuda.cross_entropy_grad):
            with pytest.raises(ValueError, match="expected a boolean mask"):
                in_both_orders(function, logits, wrong)
