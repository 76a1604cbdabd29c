"""Convolution on the tensor cores, as the CPU computes it: indices to 1e-6, precision by itself.

What a tensor core does to its factors is known, so a result is compared with the exact one of
rounded factors: a tolerance for rounding would hide a wrong index.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.kernels.conv2d import conv2d_input_grad, conv2d_weight_grad
from minispiral.kernels.cuda import conv2d as cuda
from minispiral.kernels.cuda import conv2d_few, conv2d_mma, conv2d_plain, launch, split_k
from minispiral.kernels.cuda.tf32 import tf32
from tests.cuda_on_cpu import CpuDevice, in_both_orders, needs_compiler
from tests.kernels.convolutions import Case
from tests.kernels.test_conv2d import in_float64

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]


def to_tf32(x):
    """The nearest number of 10 bits of fraction, ties to even."""
    bits = x.view(np.uint32)
    odd = bits >> np.uint32(13) & np.uint32(1)
    return ((bits + np.uint32(0xFFF) + odd) & np.uint32(0xFFFFE000)).view(np.float32)


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


def assert_exact(case, rng, rounded):
    """All three kernels, against float64 on what the tensor cores see of the arguments."""
    for kernel, args in case.calls(rng, np.float32):
        with tf32(rounded):
            result = in_both_orders(kernel, *args)
        seen = [to_tf32(a) if rounded and isinstance(a, np.ndarray) else a for a in args]
        expected = kernel(*in_float64(seen))
        assert result.dtype == np.float32
        assert result.shape == expected.shape
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@given(case=cases(), rounded=st.booleans(), seed=st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_any_convolution_is_exact(case, rounded, seed):
    assert_exact(case, np.random.default_rng(seed), rounded)


# More pixels than a tile, and more channels on either side.
@pytest.mark.parametrize(
    ("tiling", "parts"), [("Large", 1), ("Tall", 2), ("Small", 3), ("Precise", 2)]
)
def test_results_of_several_tiles_and_sums_in_parts(rng, monkeypatch, tiling, parts):
    monkeypatch.setattr(conv2d_mma, "choose_tiling", lambda *_: tiling)
    monkeypatch.setattr(split_k, "parts", lambda *_: parts)
    assert_exact(Case(3, (15, 23), 8, 132, (3, 3), 2, 0), rng, tiling != "Precise")
    assert_exact(Case(2, (8, 9), 132, 4, (3, 2), 1, 1), rng, tiling != "Precise")


@pytest.mark.parametrize("rounded", [True, False])
@pytest.mark.parametrize("parts", [1, 2])
def test_channels_that_do_not_come_in_fours(rng, monkeypatch, rounded, parts):
    monkeypatch.setattr(split_k, "parts", lambda *_: parts)
    for big, small, narrow in ((9, 131, True), (130, 5, True), (8, 5, True), (8, 12, False)):
        case = Case(2, (11, 9), big, small, (3, 2), 2, 1)
        assert conv2d_mma._is_narrow(case.sizes) == narrow
        assert_exact(case, rng, rounded)


def test_more_parts_than_steps_leave_zeros(rng, monkeypatch):
    monkeypatch.setattr(split_k, "parts", lambda *_: 5)
    assert_exact(Case(1, (5, 4), 8, 4, (1, 1), 2, 0), rng, True)


def test_split_numbers_are_far_more_exact_than_rounded_ones(rng):
    case = Case(2, (7, 7), 64, 64, (3, 3), 2, 0)
    for kernel, args in case.calls(rng, np.float32):
        expected = kernel(*in_float64(args))
        errors = []
        for allowed in (True, False):
            with tf32(allowed):
                result = in_both_orders(kernel, *args)
            errors.append(np.linalg.norm(result - expected) / np.linalg.norm(expected))
        rounded, split = errors
        assert 1e-5 < rounded < 1e-3
        assert split < 1e-6


def test_shapes_and_dtype_decide_which_algorithm_runs():
    def chosen(big, small, kernel_hw=(3, 3), dtype=np.float32, device=None):
        with launch.using(device or CpuDevice()):
            return cuda._algorithm(Case(1, (9, 9), big, small, kernel_hw, 2, 0).sizes, dtype)

    assert chosen(64, 128) is conv2d_mma
    assert chosen(64, 128, dtype=np.dtype(np.float64)) is conv2d_plain
    assert chosen(3, 64, dtype=np.dtype(np.float64)) is conv2d_plain
    for big, small in ((7, 1), (1, 3)):
        assert chosen(big, small) is conv2d_plain
    for big, small in ((3, 64), (7, 4), (4, 64), (1, 85)):
        assert chosen(big, small) is conv2d_few
    for big, small in ((8, 64), (64, 1), (85, 171)):
        assert chosen(big, small) is conv2d_mma
    assert chosen(3, 64, (5, 5)) is conv2d_mma  # more terms than the others can take
    old = CpuDevice()
    old.has_tensor_cores = lambda: False
    assert chosen(64, 128, device=old) is conv2d_plain
    assert chosen(3, 64, device=old) is conv2d_few


def test_tf32_is_refused_for_float64(rng):
    case = Case(1, (9, 9), 8, 4, (3, 3), 2, 0)
    for kernel, args in case.calls(rng, np.float64):
        with tf32(True), pytest.raises(ValueError, match="float32 numbers, but these are float64"):
            in_both_orders(kernel, *args)


@pytest.mark.parametrize("big", [8, 3])
def test_arrays_that_are_not_aligned_to_16_bytes_are_refused(rng, big):
    case = Case(1, (6, 6), big, 8, (3, 3), 1, 0)
    with launch.using(CpuDevice()) as device:
        x, w, gy = map(device.put, case.arrays(rng, np.float32))
        shifted = device.empty((gy.size + 4,), np.float32)[1:-3].reshape(gy.shape)
        shifted[...] = gy
        with pytest.raises(ValueError, match=r"\(1, 4, 4, 8\) is not aligned to 16 bytes"):
            conv2d_input_grad(shifted, w, case.hw)
        if big == 8:
            with pytest.raises(ValueError, match="copy it"):
                conv2d_weight_grad(x, shifted, (3, 3))


def test_sizes_decide_alone_how_work_is_shared():
    """Of the full network, batch 32: tiles enough for a large GPU, and parts where they are few."""
    with tf32(True):
        assert conv2d_mma.choose_tiling([127008], 128, 36, False) == "Large"
        assert conv2d_mma.choose_tiling([127008], 64, 36, False) == "Tall"
        assert conv2d_mma.choose_tiling([32], 64, 288, False) == "Small"
        assert conv2d_mma.choose_tiling([127008], 171, 36, True) == "NarrowSmall"
    assert conv2d_mma.choose_tiling([127008], 128, 36, False) == "Precise"
    assert conv2d_mma.choose_tiling([127008], 171, 36, True) == "NarrowPrecise"
    block = split_k.Block(1, 1000, 5000, 2**17)
    assert split_k.parts(497, 36, block) == 1
    assert split_k.parts(28, 288, block) == 4  # of 132 places 112
    assert split_k.parts(3, 7938, block) == 44  # all 132
    assert split_k.parts(1, 15, block) == 1
    assert split_k.parts(993, 36) == 1
    assert split_k.parts(4, 288) == 36
    assert split_k.parts(9, 7938) == 28
    assert split_k.parts(1, 10**6) == 256
    assert split_k.parts(0, 1) == 1
