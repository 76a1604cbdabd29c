"""The CUDA kernels of max pooling, on the CPU, against loops and against their NumPy twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.kernels import pooling, reference
from tests.cuda_on_cpu import in_both_orders, needs_compiler
from tests.kernels.test_pooling import both_dtypes, cases

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]


def assert_alike(kernels, rng, case, dtype, levels):
    """Both kernels give what those of another file do, to the last bit."""
    shape, size, stride = case
    x = -rng.integers(1, levels, shape, endpoint=True).astype(dtype)
    y, argmax = in_both_orders(pooling.max_pool2d, x, size, stride)
    expected, expected_argmax = kernels.max_pool2d(x, size, stride)
    assert (y.dtype, argmax.dtype) == (dtype, np.int32)
    assert np.array_equal(y, expected)
    assert np.array_equal(argmax, expected_argmax)
    gy = rng.standard_normal(y.shape).astype(dtype)
    gx = in_both_orders(pooling.max_pool2d_grad, gy, argmax, shape[1:3], size, stride)
    assert gx.dtype == dtype
    # The twins add in one order and so agree in all bits, the loops in another.
    expected = kernels.max_pool2d_grad(gy, argmax, shape[1:3], size, stride)
    np.testing.assert_allclose(gx, expected, rtol=0, atol=0 if kernels is pooling else 1e-5)


@given(
    case=cases(),
    dtype=st.sampled_from([np.float64, np.float32]),
    levels=st.sampled_from([3, 10**6]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=25, deadline=None)
def test_small_shapes_match_loops_and_numpy_twins(case, dtype, levels, seed):
    """With three levels nearly every window holds its maximum several times: the first counts."""
    for kernels in (reference, pooling):
        assert_alike(kernels, np.random.default_rng(seed), case, dtype, levels)


@both_dtypes
def test_shapes_of_several_blocks_match_the_numpy_twins(rng, dtype):
    assert_alike(pooling, rng, ((2, 31, 29, 13), 3, 2), dtype, 10**6)


def test_values_that_are_not_numbers_or_infinite(rng):
    x = rng.standard_normal((1, 6, 6, 2))
    x[0, 1, 1, 0] = np.nan
    x[0, 3:, :, 1] = -np.inf
    y, argmax = in_both_orders(pooling.max_pool2d, x, 2, 2)
    expected, expected_argmax = pooling.max_pool2d(x, 2, 2)
    assert np.array_equal(y, expected, equal_nan=True)
    assert np.array_equal(argmax, expected_argmax)
