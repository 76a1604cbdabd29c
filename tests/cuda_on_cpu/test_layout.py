"""The CUDA kernels of layout, on the CPU, against their NumPy twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.kernels import layout
from tests.cuda_on_cpu import in_both_orders, needs_compiler
from tests.kernels.test_adam import both_dtypes

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]


@both_dtypes
def test_pixels_are_scaled_to_the_same_bits(dtype):
    pixels = np.arange(256, dtype=np.uint8).reshape(4, 64)
    result = in_both_orders(layout.scale_pixels, pixels, dtype)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, layout.scale_pixels(pixels, dtype))


@given(
    n=st.integers(1, 5),
    hw=st.tuples(st.integers(1, 19), st.integers(1, 19)),
    c=st.integers(1, 4),
    dtype=st.sampled_from([np.uint8, np.bool_]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=20, deadline=None)
def test_flips_are_those_of_the_numpy_twin(n, hw, c, dtype, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(256 if dtype == np.uint8 else 2, size=(n, *hw, c)).astype(dtype)
    flips = rng.random((n, 2)) < 0.5
    result = in_both_orders(layout.flip, images, flips)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, layout.flip(images, flips))


@given(
    channels=st.lists(st.integers(0, 9), min_size=1, max_size=19).filter(any),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=10, deadline=None)
def test_channels_side_by_side_and_apart(channels, dtype, seed):
    rng = np.random.default_rng(seed)
    xs = [rng.standard_normal((2, 3, 15, c)).astype(dtype) for c in channels]
    y = in_both_orders(layout.concatenate, *xs)
    np.testing.assert_array_equal(y, np.concatenate(xs, -1))
    parts = in_both_orders(layout.split, y, tuple(np.cumsum(channels[:-1])))
    assert len(parts) == len(xs)
    for part, x in zip(parts, xs, strict=True):
        np.testing.assert_array_equal(part, x)


@given(
    hw=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    before=st.integers(0, 3),
    after=st.integers(0, 3),
    c=st.integers(1, 3),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=20, deadline=None)
def test_rims_and_windows(hw, before, after, c, dtype, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-99, 99, (2, *hw, c)).astype(dtype)  # whose sums are exact
    y = in_both_orders(layout.edge_pad, x, before, after)
    np.testing.assert_array_equal(y, layout.edge_pad(x, before, after))
    gy = rng.integers(-99, 99, y.shape).astype(dtype)
    gx = in_both_orders(layout.edge_pad_grad, gy, before, after)
    np.testing.assert_array_equal(gx, layout.edge_pad_grad(gy, before, after))
    np.testing.assert_array_equal(in_both_orders(layout.crop, y, before, hw), x)
    back = in_both_orders(layout.crop_grad, x, before, y.shape[1:3])
    np.testing.assert_array_equal(back, layout.crop_grad(x, before, y.shape[1:3]))
