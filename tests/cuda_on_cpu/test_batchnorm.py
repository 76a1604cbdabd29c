"""The CUDA kernels of batch norm, on the CPU, against loops and against their NumPy twins."""

import numpy as np
import pytest
from hypothesis import given, settings

from minispiral.kernels import batchnorm, reference
from tests.cuda_on_cpu import in_both_orders, needs_compiler
from tests.kernels.test_batchnorm import EPS, assert_matches, calls, dtypes, seeds, small_shapes

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]


@given(shape=small_shapes, dtype=dtypes, seed=seeds)
@settings(max_examples=25, deadline=None)
def test_small_shapes_match_the_loops(shape, dtype, seed):
    for name, args in calls(np.random.default_rng(seed), shape, dtype).items():
        result, expected = (
            in_both_orders(getattr(batchnorm, name), *args),
            getattr(reference, name)(*args),
        )
        var = args[0].astype(np.float64).reshape(-1, shape[-1]).var(0)
        assert_matches(result, expected, dtype, scale=10 / min(1, np.sqrt(var.min() + EPS)))


# Several blocks along the rows, along the channels, along both; one channel; an odd rest.
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "shape", [(2, 63, 65, 3), (1, 7, 5, 130), (3, 15, 17, 70), (5001, 1)], ids=str
)
def test_shapes_of_several_blocks_match_the_numpy_twins(rng, shape, dtype):
    for name, args in calls(rng, shape, dtype).items():
        result, expected = (
            in_both_orders(getattr(batchnorm, name), *args),
            getattr(batchnorm, name)(*args),
        )
        assert_matches(result, expected, dtype, scale=100)


def test_moments_keep_their_digits_far_from_zero(rng):
    """In float32, mean 1000 and deviation 1: a difference of raw sums would lose the variance."""
    x = (1000 + rng.standard_normal((2, 33, 31, 5))).astype(np.float32)
    mean, var = in_both_orders(batchnorm.moments, x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean((0, 1, 2)), rtol=1e-7)
    np.testing.assert_allclose(var, exact.var((0, 1, 2)), rtol=1e-6)


def test_constant_moments_do_not_follow_x(rng):
    args = calls(rng, (2, 5, 7, 9), np.float64)
    for name in ("normalize_grad", "normalize_relu_grad"):
        expected = getattr(batchnorm, name)(*args[name], True)
        result = in_both_orders(getattr(batchnorm, name), *args[name], True)
        assert_matches(result, expected, np.float64, scale=10)


def test_what_is_not_a_number_shows(rng):
    x, mean, var, gamma, beta, eps = calls(rng, (2, 5, 7, 9), np.float32)["normalize_relu"]
    x[1, 2, 3, 4] = np.nan
    y = in_both_orders(batchnorm.normalize_relu, x, mean, var, gamma, beta, eps)
    assert np.argwhere(np.isnan(y)).tolist() == [[1, 2, 3, 4]]
    for vector in in_both_orders(batchnorm.moments, x):
        assert np.flatnonzero(np.isnan(vector)).tolist() == [4]


def test_dtypes_that_do_not_fit_are_refused(rng):
    x, gy, mean, var, gamma, eps = calls(rng, (2, 5, 7, 9), np.float32)["normalize_grad"]
    with pytest.raises(ValueError, match="one dtype throughout"):
        in_both_orders(batchnorm.normalize_grad, x, gy, mean, var, gamma.astype(np.float64), eps)
    with pytest.raises(ValueError, match="float32 or float64, got int64"):
        in_both_orders(batchnorm.moments, np.ones((3, 2), np.int64))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scale_and_shift_are_those_of_the_numpy_twin(rng, dtype):
    vectors = calls(rng, (2, 5, 7, 301), dtype)["normalize"][1:]
    result = in_both_orders(batchnorm.scale_shift, dtype, *vectors)
    expected = batchnorm.scale_shift(dtype, *vectors)
    assert_matches(result, expected, dtype, scale=100)
    with pytest.raises(ValueError, match="float32 or float64, got float16"):
        in_both_orders(batchnorm.scale_shift, np.float16, *vectors)
