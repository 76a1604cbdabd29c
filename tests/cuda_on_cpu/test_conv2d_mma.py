"""Convolution on the tensor cores, as the CPU computes it: indices to 1e-6, precision by itself.

What a tensor core does to its factors is known, so a result is compared with the exact one of
rounded factors: a tolerance for rounding would hide a wrong index.
"""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.kernels.cuda import conv2d as cuda
from minispiral.kernels.cuda import launch
from tests.cuda_on_cpu import CpuDevice, in_both_orders, needs_compiler
from tests.kernels.convolutions import Case
from tests.kernels.test_conv2d import in_float64

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]


def to_tf32(x):
    """The nearest number of 10 bits of fraction, ties away from zero."""
    bits = (x.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)
    return bits.view(np.float32)


@st.composite
def cases(draw):
    """Channels in multiples of four or not; every parity and overlap of window, stride and rim."""
    kernel_hw = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    pad = draw(st.integers(0, 2))
    hw = tuple(draw(st.integers(max(1, k - 2 * pad), 9)) for k in kernel_hw)
    return Case(
        n=draw(st.integers(1, 3)),
        hw=hw,
        big=draw(st.sampled_from((8, 9, 16, 18, 20, 35, 68))),
        small=draw(st.sampled_from((1, 4, 16, 23, 40, 70, 72))),
        kernel_hw=kernel_hw,
        stride=draw(st.integers(1, 3)),
        pad=pad,
    )


def assert_exact(case, rng, tf32):
    """All three kernels, against float64 on what the tensor cores see of the arguments."""
    for kernel, args in case.calls(rng, np.float32):
        cuda_twin = partial(getattr(cuda, kernel.__name__), tf32=tf32)
        result = in_both_orders(cuda_twin, *args)
        seen = [to_tf32(a) if tf32 and isinstance(a, np.ndarray) else a for a in args]
        expected = kernel(*in_float64(seen))
        assert result.dtype == np.float32
        assert result.shape == expected.shape
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@given(case=cases(), tf32=st.booleans(), seed=st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_any_convolution_is_exact(case, tf32, seed):
    assert_exact(case, np.random.default_rng(seed), tf32)


# More pixels than a tile, and more channels on either side.
@pytest.mark.parametrize(("tiling", "parts"), [("Large", 1), ("Medium", 3), ("Precise", 2)])
def test_results_of_several_tiles_and_sums_in_parts(rng, monkeypatch, tiling, parts):
    monkeypatch.setattr(cuda, "_tiling", lambda *_: tiling)
    monkeypatch.setattr(cuda, "_parts", lambda *_: parts)
    assert_exact(Case(3, (15, 13), 8, 132, (3, 3), 2, 0), rng, tiling != "Precise")
    assert_exact(Case(2, (8, 9), 132, 4, (3, 2), 1, 1), rng, tiling != "Precise")


@pytest.mark.parametrize("tf32", [True, False])
@pytest.mark.parametrize("parts", [1, 2])
def test_channels_that_do_not_come_in_fours(rng, monkeypatch, tf32, parts):
    monkeypatch.setattr(cuda, "_parts", lambda *_: parts)
    for big, small, narrow in ((9, 131, True), (130, 5, True), (8, 5, True), (8, 12, False)):
        assert cuda._is_narrow((3, 3, big, small)) == narrow
        assert_exact(Case(2, (11, 9), big, small, (3, 2), 2, 1), rng, tf32)


def test_more_parts_than_steps_leave_zeros(rng, monkeypatch):
    monkeypatch.setattr(cuda, "_parts", lambda *_: 5)
    assert_exact(Case(1, (5, 4), 8, 4, (1, 1), 2, 0), rng, True)


def test_split_numbers_are_far_more_exact_than_rounded_ones(rng):
    case = Case(2, (7, 7), 64, 64, (3, 3), 2, 0)
    for kernel, args in case.calls(rng, np.float32):
        expected = kernel(*in_float64(args))
        errors = []
        for tf32 in (True, False):
            cuda_twin = partial(getattr(cuda, kernel.__name__), tf32=tf32)
            result = in_both_orders(cuda_twin, *args)
            errors.append(np.linalg.norm(result - expected) / np.linalg.norm(expected))
        rounded, split = errors
        assert 1e-5 < rounded < 1e-3
        assert split < 1e-6


def test_shapes_and_dtype_decide_which_kernels_run():
    def kind(big, small, kernel_hw=(3, 3), dtype=np.float32, device=None):
        with launch.using(device or CpuDevice()):
            return cuda._kind(np.empty(0, dtype), (*kernel_hw, big, small))

    assert kind(64, 128) == "mma"
    assert kind(64, 128, dtype=np.float64) == "plain"
    assert kind(7, 1) == kind(1, 3) == "plain"
    assert kind(3, 64) == kind(7, 4) == kind(4, 64) == kind(1, 85) == "few"
    assert kind(8, 64) == kind(64, 1) == kind(85, 171) == "mma"
    assert kind(3, 64, (5, 5)) == "mma"  # more terms than those kernels can take
    old = CpuDevice()
    old.has_tensor_cores = lambda: False
    assert kind(64, 128, device=old) == "plain"


@pytest.mark.parametrize("big", [8, 3])
def test_arrays_that_begin_amidst_16_bytes_are_refused(rng, big):
    case = Case(1, (6, 6), big, 8, (3, 3), 1, 0)
    with launch.using(CpuDevice()) as device:
        x, w, gy = map(device.put, case.arrays(rng, np.float32))
        shifted = device.empty((gy.size + 4,), np.float32)[1:-3].reshape(gy.shape)
        shifted[...] = gy
        with pytest.raises(ValueError, match=r"\(1, 4, 4, 8\) begins amidst 16 bytes"):
            cuda.conv2d_input_grad(shifted, w, case.hw)
        if big == 8:
            with pytest.raises(ValueError, match="copy it"):
                cuda.conv2d_weight_grad(x, shifted, (3, 3))


def test_sizes_decide_alone_how_work_is_shared():
    """Of the full network, batch 32: tiles enough for a large GPU, and parts where they are few."""
    assert cuda._tiling(127008, 128, True) == "Large"
    assert cuda._tiling(127008, 64, True) == "Medium"
    assert cuda._tiling(1568, 512, True) == "Medium"
    assert cuda._tiling(127008, 128, False) == "Precise"
    assert cuda._tiling(127008, 171, True, True) == "NarrowMedium"
    assert cuda._tiling(127008, 171, False, True) == "NarrowPrecise"
    assert cuda._parts(993, 36) == 1
    assert cuda._parts(4, 288) == 36
    assert cuda._parts(9, 7938) == 28
    assert cuda._parts(1, 10**6) == 256
    assert cuda._parts(0, 1) == 1
