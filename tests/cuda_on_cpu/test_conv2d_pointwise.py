"""The CUDA kernels for a convolution of 1 x 1 to one channel, on the CPU, against float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.kernels.cuda import conv2d as cuda
from minispiral.kernels.cuda import conv2d_pointwise
from tests.cuda_on_cpu import in_both_orders, needs_compiler
from tests.kernels.convolutions import Case
from tests.kernels.epilogues import with_moments, with_scale_shift_relu
from tests.kernels.test_conv2d import assert_moments_of, in_float64

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]


@given(
    n=st.integers(1, 3),
    hw=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    big=st.integers(1, 7),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=20, deadline=None)
def test_any_image_is_mixed_exactly(n, hw, big, seed):
    case, rng = Case(n, hw, big, 1, (1, 1), 1, 0), np.random.default_rng(seed)
    assert cuda._algorithm(case.sizes, np.float32) is conv2d_pointwise
    for kernel, args in case.calls(rng, np.float32):
        result, expected = in_both_orders(kernel, *args), kernel(*in_float64(args))
        assert result.dtype == np.float32
        assert result.shape == expected.shape
        most = kernel(*(np.abs(a) if isinstance(a, np.ndarray) else a for a in in_float64(args)))
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6 * most.max())


def test_sums_in_several_parts_are_exact(rng, monkeypatch):
    monkeypatch.setattr(conv2d_pointwise, "_FEWEST", 1)
    case = Case(3, (41, 43), 7, 1, (1, 1), 1, 0)
    kernel, args = case.calls(rng, np.float32)[2]
    args = np.abs(args[0]), np.abs(args[1]), *args[2:]
    expected = kernel(*in_float64(args))
    np.testing.assert_allclose(in_both_orders(kernel, *args), expected, rtol=5e-7)


@pytest.mark.parametrize("big", [1, 6])
def test_epilogues(rng, big):
    case = Case(2, (9, 8), big, 1, (1, 1), 1, 0)
    for kernel, args in case.calls(rng, np.float32)[:2]:
        y, *moments = in_both_orders(with_moments(kernel), *args)
        assert np.array_equal(y, in_both_orders(kernel, *args))
        assert_moments_of(y, *moments)
        vectors = rng.standard_normal((2, y.shape[-1])).astype(np.float32)
        cut = in_both_orders(with_scale_shift_relu(kernel), *vectors, *args)
        expected = np.maximum(y * np.float64(vectors[0]) + vectors[1], 0)
        np.testing.assert_allclose(cut, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_a_pixel_that_is_not_a_number_shows_where_it_is_read(rng):
    for kernel, args in Case(2, (9, 7), 5, 1, (1, 1), 1, 0).calls(rng, np.float32):
        for image in args[: 1 + (kernel.__name__ == "conv2d_weight_grad")]:
            place = tuple(rng.integers(size) for size in image.shape)
            before, image[place] = image[place], np.nan
            result, expected = in_both_orders(kernel, *args), kernel(*args)
            assert np.array_equal(np.isnan(result), np.isnan(expected))
            image[place] = before
