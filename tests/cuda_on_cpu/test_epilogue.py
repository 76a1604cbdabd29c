"""What the CUDA convolutions do to their output in registers: moments, and scale, shift, ReLU."""

from functools import partial

import numpy as np
import pytest

from minispiral.kernels.cuda import conv2d as cuda
from tests.cuda_on_cpu import CpuDevice, call, in_both_orders, needs_compiler
from tests.kernels.convolutions import Case
from tests.kernels.test_conv2d import assert_moments_of

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]

# What decides over kernels, and sizes that leave a rest of pixels and of channels in a tile.
TENSOR_CORES = Case(2, (17, 15), 12, 132, (3, 3), 2, 0)
MANY_CHANNELS = Case(1, (12, 13), 68, 20, (3, 2), 1, 1)
CASES = {
    "Large": ({"_tiling": "Large"}, TENSOR_CORES),
    "Medium": ({"_tiling": "Medium"}, TENSOR_CORES),
    "Precise": ({"_tiling": "Precise"}, MANY_CHANNELS),
    "in parts": ({"_tiling": "Medium", "_parts": 3}, MANY_CHANNELS),
    "narrow": ({}, Case(2, (11, 13), 19, 67, (3, 3), 2, 0)),
    "narrow, in parts": ({"_parts": 3}, Case(2, (11, 13), 66, 5, (3, 2), 1, 1)),
    "one channel": ({}, Case(2, (25, 23), 1, 68, (3, 3), 2, 0)),
    "few channels": ({}, Case(3, (17, 19), 3, 64, (3, 3), 2, 1)),
    "few channels, some blocks": ({"_MOST_GROUPED": 2}, Case(2, (25, 23), 6, 13, (3, 3), 2, 0)),
    "plain": ({"_kind": "plain"}, Case(2, (9, 8), 9, 5, (3, 3), 2, 1)),
}


@pytest.fixture(params=CASES)
def case(request, monkeypatch):
    decided, case = CASES[request.param]
    for name, value in decided.items():
        constant = isinstance(getattr(cuda, name), int)
        monkeypatch.setattr(cuda, name, value if constant else lambda *_, value=value: value)
    return case


@pytest.mark.parametrize("mean", [0, 300])
def test_moments_are_those_of_the_output(rng, case, mean):
    """However far from zero: at 300 the sum of squares would lose every digit of the variance."""
    for kernel, args in case.calls(rng, np.float32)[:2]:
        function = getattr(cuda, kernel.__name__)
        args = args[0] + np.float32(mean), *args[1:]
        y, *moments = in_both_orders(partial(function, moments=True), *args)
        assert np.array_equal(y, in_both_orders(function, *args))
        assert_moments_of(y, *moments)


def test_outputs_are_scaled_shifted_and_cut_off_at_zero(rng, case):
    for kernel, args in case.calls(rng, np.float32)[:2]:
        function = getattr(cuda, kernel.__name__)
        y = in_both_orders(function, *args)
        vectors = tuple(rng.standard_normal((2, y.shape[-1])).astype(np.float32))
        cut, *moments = in_both_orders(function, *args, True, vectors)
        scale, shift = np.float64(vectors)
        expected = np.maximum(y * scale + shift, 0)
        # One rounding of the sum, whose larger part may be the product.
        np.testing.assert_allclose(cut, expected, rtol=0, atol=1e-6 * np.abs(y * scale).max())
        assert (cut == 0).any()
        assert_moments_of(cut, *moments)


def test_no_pass_of_its_own_is_made(rng, case):
    """But where the plain kernels run: the tests of CPU and GPU would not notice."""
    kernels = set()
    for kernel, args in case.calls(rng, np.float32)[:2]:
        device = CpuDevice()
        call(device, getattr(cuda, kernel.__name__), *args, True)
        kernels |= set(device.launched)
    plain = "conv2d<float>" in kernels
    assert ("block_moments<float>" in kernels) == plain


def test_what_is_not_a_number_shows_in_its_channel(rng, case):
    for kernel, args in case.calls(rng, np.float32)[:2]:
        function = getattr(cuda, kernel.__name__)
        by_channel = args[1].copy()
        channel = 2 if kernel.__name__ == "conv2d" else 0
        if channel:
            by_channel[0, 0, 0, channel] = np.nan
        else:
            by_channel[0, 0, channel, 0] = np.nan
        y, mean, var = in_both_orders(function, args[0], by_channel, *args[2:], True)
        for vector in (mean, var):
            assert np.flatnonzero(np.isnan(vector)).tolist() == [channel]
        ones = np.ones((2, y.shape[-1]), np.float32)
        cut = in_both_orders(function, args[0], by_channel, *args[2:], False, tuple(ones))
        assert np.array_equal(np.isnan(cut), np.isnan(y))


def test_vectors_that_do_not_fit_are_refused(rng):
    x, w, gy = TENSOR_CORES.arrays(rng, np.float32)
    vectors = np.ones((2, 12), np.float32)
    with pytest.raises(ValueError, match=r"132 channels .* got shape \(12,\)"):
        in_both_orders(cuda.conv2d, x, w, 2, 0, False, tuple(vectors))
    with pytest.raises(ValueError, match="one floating dtype"):
        in_both_orders(
            cuda.conv2d_input_grad, gy, w, (17, 15), 2, 0, False, tuple(np.float64(vectors))
        )
