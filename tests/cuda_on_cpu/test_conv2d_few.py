"""Convolution with few channels of the larger image, on the CPU, against float64."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minispiral.kernels.cuda import conv2d as cuda
from minispiral.kernels.cuda import conv2d_few, split_k
from tests.cuda_on_cpu import CpuDevice, call, in_both_orders, needs_compiler
from tests.kernels.convolutions import Case
from tests.kernels.test_conv2d import in_float64

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]

CHANNELS = 4, 5, 7, 12, 33, 36, 64, 67, 68, 132, 260


@st.composite
def cases(draw):
    """Up to 7 channels and 64 terms; every parity and overlap of window, stride and rim."""
    kernel_hw = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    big = draw(st.integers(1, 7))
    assume(kernel_hw[0] * kernel_hw[1] * big <= 64)
    pad, stride = draw(st.integers(0, 2)), draw(st.integers(1, 3))
    hw = tuple(draw(st.integers(max(1, k - 2 * pad), 11)) for k in kernel_hw)
    small = draw(st.sampled_from(CHANNELS))
    return Case(draw(st.integers(1, 3)), hw, big, small, kernel_hw, stride, pad)


@st.composite
def cases_3x3(draw):
    """Those for which there is a form of the kernels of their own."""
    big, pad, stride = draw(st.integers(1, 6)), draw(st.integers(0, 4)), draw(st.integers(1, 3))
    hw = tuple(draw(st.integers(max(1, 3 - 2 * pad), 19)) for _ in range(2))
    small = draw(st.sampled_from([c for c in CHANNELS if c % 4 == 0]))
    return Case(draw(st.integers(1, 3)), hw, big, small, (3, 3), stride, pad)


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


@given(case=cases_3x3(), seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_kernels_of_3_by_3_are_exact(case, seed):
    assert_exact(case, np.random.default_rng(seed))


@pytest.mark.parametrize("big", range(1, 8))
def test_layers_of_the_network_are_exact(rng, monkeypatch, big):
    """3 x 3 at stride 2: more pixels than a tile or a step, sums in one part or in several."""
    monkeypatch.setattr(split_k, "FULL", big % 3)
    monkeypatch.setattr(conv2d_few, "_MOST_BLOCKS", 1)
    for small in (64, 85):
        assert_exact(Case(3, (25, 23), big, small, (3, 3), 2, 0), rng)


def test_each_layer_runs_the_form_made_for_it(rng):
    for big in range(1, 8):
        form = big if big < 7 else 0
        expected = {f"conv2d_few<{form}>", f"conv2d_weight_grad_few<{form}, false>"}
        expected.add(f"conv2d_input_grad_few_3x3<{big}, false>")
        if form == 0:
            expected = {f"conv2d_input_grad_few<{big}>", *(e for e in expected if "3x3" not in e)}
        device = CpuDevice()
        for kernel, args in Case(1, (7, 5), big, 8, (3, 3), 2, 0).calls(rng, np.float32):
            call(device, kernel, *args)
        assert set(device.launched) == expected


@given(case=cases_3x3(), seed=st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_a_pixel_that_is_not_a_number_shows_where_it_is_read(case, seed):
    """And nowhere else: not from a neighbouring row, image or channel."""
    rng = np.random.default_rng(seed)
    for kernel, args in case.calls(rng, np.float32):
        for image in args[: 1 + (kernel.__name__ == "conv2d_weight_grad")]:
            place = tuple(rng.integers(size) for size in image.shape)
            before, image[place] = image[place], np.nan
            result, expected = in_both_orders(kernel, *args), kernel(*args)
            assert np.array_equal(np.isnan(result), np.isnan(expected))
            image[place] = before


def test_long_sums_keep_their_digits(rng):
    """A thousand times more pixels of one sign: float alone would lose three digits."""
    case = Case(2, (63, 127), 1, 4, (3, 3), 2, 0)
    x, _, gy = (np.abs(array) for array in case.arrays(rng, np.float32))
    _, _, (kernel, args) = case.calls(rng, np.float32)
    args = x, gy, *args[2:]
    result, expected = in_both_orders(kernel, *args), kernel(*in_float64(args))
    np.testing.assert_allclose(result, expected, rtol=5e-7)
