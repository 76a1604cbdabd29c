"""Convolution with few channels of the larger image, on the CPU, against float64."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minispiral.kernels.cuda import conv2d as cuda
from minispiral.kernels.cuda import conv2d_few, split_k
from tests.cuda_on_cpu import in_both_orders, needs_compiler
from tests.kernels.convolutions import Case
from tests.kernels.test_conv2d import in_float64

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]


@st.composite
def cases(draw):
    """Up to 7 channels and 64 terms; every parity and overlap of window, stride and rim."""
    kernel_hw = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    big = draw(st.integers(1, 7))
    assume(kernel_hw[0] * kernel_hw[1] * big <= 64)
    pad = draw(st.integers(0, 2))
    hw = tuple(draw(st.integers(max(1, k - 2 * pad), 11)) for k in kernel_hw)
    small = draw(st.sampled_from((4, 5, 7, 12, 33, 36, 64, 67, 68)))
    return Case(draw(st.integers(1, 3)), hw, big, small, kernel_hw, draw(st.integers(1, 3)), pad)


def assert_exact(case, rng):
    assert cuda._algorithm(case.sizes, np.float32) is conv2d_few
    for kernel, args in case.calls(rng, np.float32):
        result = in_both_orders(kernel, *args)
        expected = kernel(*in_float64(args))
        assert result.dtype == np.float32
        assert result.shape == expected.shape
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@given(case=cases(), seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_any_convolution_is_exact(case, seed):
    assert_exact(case, np.random.default_rng(seed))


@pytest.mark.parametrize("big", range(1, 8))
def test_layers_of_the_network_are_exact(rng, monkeypatch, big):
    """3 x 3 at stride 2: more pixels than a tile or a step, sums in one part or in several."""
    parts = 1 + big % 3
    monkeypatch.setattr(split_k, "parts", lambda *_: parts)
    for small in (64, 85):
        assert_exact(Case(2, (25, 23), big, small, (3, 3), 2, 0), rng)
