"""What the CUDA convolutions do to their output in registers: moments, and scale, shift, ReLU."""

import numpy as np
import pytest

from minispiral.kernels.cuda import conv2d as cuda
from minispiral.kernels.cuda import conv2d_few, conv2d_mma, conv2d_plain, split_k
from tests.cuda_on_cpu import CpuDevice, call, in_both_orders, needs_compiler
from tests.kernels.convolutions import Case
from tests.kernels.epilogues import with_moments, with_scale_shift_relu
from tests.kernels.test_conv2d import assert_moments_of

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]

# What decides over kernels, and sizes that leave a rest of pixels and of channels in a tile.
TENSOR_CORES = Case(2, (17, 15), 12, 132, (3, 3), 2, 0)
MANY_CHANNELS = Case(1, (12, 13), 68, 20, (3, 2), 1, 1)


def tiling(name):
    return conv2d_mma, "choose_tiling", lambda *_: name


IN_PARTS = split_k, "parts", lambda *_: 3
CASES = {
    "Large": ([tiling("Large")], TENSOR_CORES),
    "Tall": ([tiling("Tall")], MANY_CHANNELS),
    "Precise": ([tiling("Precise")], MANY_CHANNELS),
    "in parts": ([tiling("Small"), IN_PARTS], MANY_CHANNELS),
    "narrow": ([], Case(2, (11, 13), 19, 67, (3, 3), 2, 0)),
    "narrow, in parts": ([IN_PARTS], Case(2, (11, 13), 66, 5, (3, 2), 1, 1)),
    "one channel": ([], Case(2, (25, 23), 1, 68, (3, 3), 2, 0)),
    "few channels": ([], Case(3, (17, 19), 3, 64, (3, 3), 2, 1)),
    "one channel, some blocks": (
        [(conv2d_few, "_MOST_BLOCKS", 2)],
        Case(2, (35, 33), 1, 8, (3, 3), 2, 1),
    ),
    "few channels, some blocks": (
        [(conv2d_few, "_MOST_BLOCKS", 2)],
        Case(2, (25, 23), 6, 13, (3, 3), 2, 0),
    ),
    "plain": ([(cuda, "ALGORITHMS", (conv2d_plain,))], Case(2, (9, 8), 9, 5, (3, 3), 2, 1)),
}


@pytest.fixture(params=CASES)
def case(request, monkeypatch):
    decided, case = CASES[request.param]
    for module, name, value in decided:
        monkeypatch.setattr(module, name, value)
    return case


def test_moments_are_those_of_the_output(rng, case):
    """However far from zero: at 300 the sum of squares would lose every digit of the variance."""
    near = rng.permutation([0, 300])  # one for each kernel, the other one in another run
    for mean, (kernel, args) in zip(near, case.calls(rng, np.float32)[:2], strict=True):
        args = args[0] + np.float32(mean), *args[1:]
        y, *moments = in_both_orders(with_moments(kernel), *args)
        assert np.array_equal(y, call(CpuDevice(), kernel, *args))  # its order: test_conv2d_*.py
        assert_moments_of(y, *moments)


def test_outputs_are_scaled_shifted_and_cut_off_at_zero(rng, case):
    for kernel, args in case.calls(rng, np.float32)[:2]:
        y = call(CpuDevice(), kernel, *args)
        scale, shift = rng.standard_normal((2, y.shape[-1])).astype(np.float32)
        # Zero within half a deviation of the mean, or so: a part of the only channel is cut off.
        shift = scale * (y.std((0, 1, 2)) * shift / 2 - y.mean((0, 1, 2)))
        cut = in_both_orders(with_scale_shift_relu(kernel), scale, shift, *args)
        expected = np.maximum(y * np.float64(scale) + shift, 0)
        # One rounding of the sum, whose larger part may be the product.
        np.testing.assert_allclose(cut, expected, rtol=0, atol=1e-6 * np.abs(y * scale).max())
        assert (cut == 0).any()


def test_no_pass_of_its_own_is_made(rng, case):
    """But where the plain kernels run: the tests of CPU and GPU would not notice."""
    kernels = set()
    for kernel, args in case.calls(rng, np.float32)[:2]:
        device = CpuDevice()
        call(device, with_moments(kernel), *args)
        kernels |= set(device.launched)
    plain = "conv2d<float>" in kernels
    assert ("block_moments<float>" in kernels) == plain


def test_what_is_not_a_number_shows_in_its_channel(rng, case):
    for kernel, args in case.calls(rng, np.float32)[:2]:
        by_channel = args[1].copy()
        channel = 2 if kernel.__name__ == "conv2d" else 0
        if channel:
            by_channel[0, 0, 0, channel] = np.nan
        else:
            by_channel[0, 0, channel, 0] = np.nan
        args = args[0], by_channel, *args[2:]
        y, mean, var = in_both_orders(with_moments(kernel), *args)
        for vector in (mean, var):
            assert np.flatnonzero(np.isnan(vector)).tolist() == [channel]
        ones = np.ones((2, y.shape[-1]), np.float32)
        cut = in_both_orders(with_scale_shift_relu(kernel), *ones, *args)
        assert np.array_equal(np.isnan(cut), np.isnan(y))
