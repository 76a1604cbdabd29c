"""The three convolution kernels on the CPU against their definition and SciPy."""

import functools
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minispiral.kernels import reference
from minispiral.kernels.conv2d import conv2d, conv2d_input_grad, conv2d_weight_grad
from minispiral.kernels.cpu import conv2d as cpu
from minispiral.kernels.cpu import conv2d_channels, conv2d_pixels, im2col, parallel
from minispiral.kernels.epilogues import ScaleShiftReLU
from tests.kernels.convolutions import Case, small_cases
from tests.kernels.epilogues import with_moments, with_scale_shift_relu

TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}

# Sizes that meet several tiles of pixels, several tiles of channels, or one row beyond a tile.
LARGE = [
    Case(2, (95, 97), 64, 17, (3, 3), 2, 0),
    Case(1, (9, 1501), 64, 8, (3, 3), 2, 0),
    Case(1, (7, 701), 64, 5, (3, 3), 1, 1),
    Case(2, (151, 40), 40, 16, (9, 3), 2, 0),  # a window reaches far into the next tile
    Case(1, (31, 1201), 64, 2, (9, 3), 2, 1),  # and is higher than the rows that a tile should have
    Case(3, (90, 61), 3, 64, (3, 3), 2, 0),
    Case(1, (91, 70), 33, 20, (4, 5), 1, 2),
    Case(2, (64, 64), 16, 16, (2, 2), 3, 1),
    Case(5, (15, 15), 130, 250, (3, 3), 2, 0),
    Case(6, (16, 14), 350, 290, (3, 2), 1, 1),
    Case(32, (7, 7), 263, 257, (3, 3), 2, 0),
    Case(32, (3, 3), 512, 512, (3, 3), 2, 0),
    Case(32, (16, 14), 512, 131, (3, 3), 2, 0),
    Case(3, (127, 127), 1, 64, (3, 3), 2, 0),
    Case(2, (64, 63), 64, 1, (1, 1), 1, 0),
]
large = pytest.mark.parametrize("case", LARGE, ids=lambda c: "-".join(map(str, c)))
both_dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def assert_matches(result, expected, dtype):
    """Agreement relative to the largest result, which is never small by chance."""
    assert result.dtype == dtype
    assert result.shape == expected.shape
    scale = np.abs(expected).max()
    np.testing.assert_allclose(result, expected, rtol=0, atol=TOLERANCE[dtype] * scale)


def in_float64(args):
    return [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in args]


@given(case=small_cases(), seed=st.integers(0, 2**32), dtype=st.sampled_from(list(TOLERANCE)))
@settings(max_examples=80, deadline=None)
def test_small_shapes_match_the_loops(case, seed, dtype):
    for kernel, args in case.calls(np.random.default_rng(seed), dtype):
        expected = getattr(reference, kernel.__name__)(*args)
        assert_matches(kernel(*args), expected, dtype)


SPLITS = {"pixels": conv2d_pixels, "channels": conv2d_channels}


@pytest.fixture(params=SPLITS)
def split(request, monkeypatch):
    """Only this split runs, in tiles and groups of images that are cut even where arrays are small.

    The input gradient runs by it too wherever it can: at any stride, where nothing is padded.
    """
    split = SPLITS[request.param]
    monkeypatch.setattr(im2col, "_TILE", 500)
    monkeypatch.setattr(conv2d_channels, "_SHARED_WINDOWS", 1000)
    monkeypatch.setattr(cpu, "SPLITS", (split,))
    monkeypatch.setattr(cpu, "INPUT_GRADS", (cpu.Padded(), split))
    return split


@given(case=small_cases(), seed=st.integers(0, 2**32), dtype=st.sampled_from(list(TOLERANCE)))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_either_split_matches_the_loops(split, case, seed, dtype):
    for kernel, args in case.calls(np.random.default_rng(seed), dtype):
        expected = getattr(reference, kernel.__name__)(*args)
        assert_matches(kernel(*args), expected, dtype)
        if kernel is not conv2d_weight_grad:
            y, mean, var = with_moments(kernel)(*args)
            assert_matches(y, expected, dtype)
            assert_moments_of(y, mean, var)


@pytest.mark.parametrize(
    ("case", "split", "input_grad"),
    [
        (Case(1, (9, 9), 3, 64, (3, 3), 2, 0), conv2d_pixels, conv2d_pixels),
        (Case(1, (9, 9), 256, 256, (3, 3), 2, 0), conv2d_pixels, conv2d_pixels),  # 589,824 weights
        (Case(1, (9, 9), 256, 264, (3, 3), 2, 0), conv2d_channels, conv2d_channels),
        (Case(1, (9, 9), 3, 64, (3, 3), 1, 0), conv2d_pixels, cpu.StrideOne),
        (Case(1, (9, 9), 256, 264, (3, 3), 1, 2), conv2d_channels, cpu.StrideOne),
        (Case(1, (9, 9), 3, 64, (3, 2), 1, 0), conv2d_pixels, conv2d_pixels),  # no square kernel
        (Case(1, (9, 9), 3, 64, (3, 3), 1, 3), conv2d_pixels, cpu.Padded),  # windows of zeros
        (Case(1, (9, 9), 3, 64, (1, 1), 1, 0), conv2d_pixels, conv2d_pixels),
        (Case(1, (9, 9), 256, 264, (3, 3), 2, 1), conv2d_channels, cpu.Padded),
    ],
)
def test_sizes_decide_which_way_is_taken(case, split, input_grad):
    ways = {cpu.SPLITS: split, cpu.INPUT_GRADS: input_grad}
    for candidates, expected in ways.items():
        chosen = cpu._first(candidates, case.sizes)
        assert chosen is expected or type(chosen) is expected


@both_dtypes
@pytest.mark.parametrize("channels", [(1, 1), (1, 3), (3, 64), (64, 1)])
def test_images_of_one_pixel(rng, channels, dtype):
    for size, pad in ((1, 0), (3, 1), (2, 1), (5, 2)):
        case = Case(2, (1, 1), *channels, (size, size), 1, pad)
        for kernel, args in case.calls(rng, dtype):
            expected = getattr(reference, kernel.__name__)(*args)
            assert_matches(kernel(*args), expected, dtype)


def test_pixels_that_no_window_reaches_have_gradient_zero(rng):
    """Stride 3 with a 1x1 kernel leaves gaps, and a remainder at the right and at the bottom."""
    gy = rng.standard_normal((2, 3, 2, 4))
    w = rng.standard_normal((1, 1, 5, 4))
    gx = conv2d_input_grad(gy, w, (9, 6), stride=3)
    reached = np.zeros((9, 6), bool)
    reached[::3, ::3] = True
    assert not gx[:, ~reached].any()
    np.testing.assert_allclose(gx[:, ::3, ::3], gy @ w[0, 0].T, rtol=1e-12)


def taps(case, x):
    """x under each kernel place: yields (p, q, view of the padded image)."""
    pad, s = case.pad, case.stride
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    oh, ow = case.out_hw
    for p, q in np.ndindex(*case.kernel_hw):
        yield p, q, padded[:, p : p + s * oh : s, q : q + s * ow : s]


def by_taps(case, kernel):
    """An oracle for large sizes: one product of whole images for each place in the kernel."""
    if kernel is conv2d:
        return lambda x, w, *_: sum(np.tensordot(view, w[p, q], 1) for p, q, view in taps(case, x))
    if kernel is conv2d_weight_grad:

        def weight_grad(x, gy, *_):
            gw = np.empty((*case.kernel_hw, case.big, case.small))
            for p, q, view in taps(case, x):
                gw[p, q] = np.tensordot(view, gy, ((0, 1, 2), (0, 1, 2)))
            return gw

        return weight_grad

    def input_grad(gy, w, *_):
        gx = np.zeros((case.n, *(s + 2 * case.pad for s in case.hw), case.big))
        within = tuple(slice(case.pad, case.pad + s) for s in case.hw)
        (oh, ow), s = case.out_hw, case.stride
        for p, q in np.ndindex(*case.kernel_hw):
            gx[:, p : p + s * oh : s, q : q + s * ow : s] += np.tensordot(gy, w[p, q].T, 1)
        return gx[:, within[0], within[1]]

    return input_grad


@both_dtypes
@large
def test_large_shapes_match_a_product_for_each_tap(rng, case, dtype):
    for kernel, args in case.calls(rng, dtype):
        assert_matches(kernel(*args), by_taps(case, kernel)(*in_float64(args)), dtype)


def test_every_channel_of_the_reference_is_a_scipy_correlation(rng):
    """The definition itself, against an implementation that has nothing in common with it."""
    signal = pytest.importorskip("scipy.signal")
    for kernel_hw, stride, pad in (((3, 3), 2, 0), ((1, 4), 1, 2), ((5, 2), 3, 1)):
        x, w = rng.standard_normal((2, 9, 8, 3)), rng.standard_normal((*kernel_hw, 3, 4))
        padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        y = reference.conv2d(x, w, stride, pad)
        for b, k in np.ndindex(2, 4):
            full = sum(
                signal.correlate2d(padded[b, :, :, c], w[:, :, c, k], mode="valid")
                for c in range(3)
            )
            np.testing.assert_allclose(y[b, :, :, k], full[::stride, ::stride], atol=1e-12)


def test_a_convolution_worked_by_hand():
    """A 3x4 image, a 2x2 kernel, stride 2 and a rim of one zero."""
    image = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]], float)[None, :, :, None]
    kernel = np.array([[1, 10], [100, 1000]], float)[:, :, None, None]
    # Windows:  0 0    0 0    0 0        0 5    6 7      8 0
    #           0 1    2 3    4 0        0 9   10 11    12 0
    result = [[1000, 3200, 400], [9050, 12076, 1208]]
    gy = np.array([[1, 2, 3], [4, 5, 6]], float)[None, :, :, None]
    # Pixel (0, 0) is met by gy 1 at tap (1, 1), pixel (1, 2) by gy 5 at tap (0, 1), and so on.
    gx = [[1000, 200, 2000, 300], [40, 5, 50, 6], [4000, 500, 5000, 600]]
    # Tap (0, 0) sees 0 0 0 / 0 6 8, tap (0, 1) 0 0 0 / 5 7 0, tap (1, 0) 0 2 4 / 0 10 12, ...
    gw = [[5 * 6 + 6 * 8, 4 * 5 + 5 * 7], [2 * 2 + 3 * 4 + 5 * 10 + 6 * 12, 1 + 2 * 3 + 36 + 55]]
    for conv, input_grad, weight_grad in (
        (reference.conv2d, reference.conv2d_input_grad, reference.conv2d_weight_grad),
        (conv2d, conv2d_input_grad, conv2d_weight_grad),
    ):
        assert conv(image, kernel, 2, 1)[0, :, :, 0].tolist() == result
        assert input_grad(gy, kernel, (3, 4), 2, 1)[0, :, :, 0].tolist() == gx
        assert weight_grad(image, gy, (2, 2), 2, 1)[:, :, 0, 0].tolist() == gw


def assert_moments_of(y, mean, var):
    """mean and var are those of y, computed directly in float64."""
    values = y.astype(np.float64).reshape(-1, y.shape[-1])
    tolerance = TOLERANCE[y.dtype.type]
    # Of up to 256 numbers added in a row, each addition rounds by half an eps of the sum.
    additions = max(min(len(values), 256) / 2, 1)
    rounding = additions * max(np.finfo(y.dtype).eps, 1e-13) * np.abs(values).max()
    assert mean.dtype == var.dtype == y.dtype
    assert mean.shape == var.shape == y.shape[-1:]
    np.testing.assert_allclose(mean, values.mean(0), rtol=0, atol=rounding)
    np.testing.assert_allclose(var, values.var(0), rtol=tolerance, atol=rounding**2)


@given(case=small_cases(), seed=st.integers(0, 2**32), dtype=st.sampled_from(list(TOLERANCE)))
@settings(max_examples=40, deadline=None)
def test_moments_are_those_of_the_result_small(case, seed, dtype):
    for kernel, args in case.calls(np.random.default_rng(seed), dtype)[:2]:
        y, mean, var = with_moments(kernel)(*args)
        assert np.array_equal(y, kernel(*args))
        assert_moments_of(y, mean, var)


@both_dtypes
@large
def test_outputs_are_scaled_shifted_and_cut_off_at_zero_on_the_way(rng, case, dtype):
    for kernel, args in case.calls(rng, dtype)[:2]:
        y = kernel(*args)
        scale, shift = rng.standard_normal((2, y.shape[-1])).astype(dtype)
        cut = with_scale_shift_relu(kernel)(scale, shift, *args)
        assert np.array_equal(cut, np.maximum(y * scale + shift, 0))


def test_vectors_that_do_not_fit_are_refused(rng):
    x, w, gy = Case(2, (9, 8), 5, 7, (3, 3), 2, 0).arrays(rng, np.float32)
    vectors = np.ones((2, 5), np.float32)
    with pytest.raises(ValueError, match=r"7 channels, got shape \(5,\)"):
        conv2d(x, w, 2, epilogue=ScaleShiftReLU(*vectors))
    with pytest.raises(ValueError, match="one floating dtype"):
        conv2d_input_grad(gy, w, (9, 8), 2, epilogue=ScaleShiftReLU(*np.float64(vectors)))


@both_dtypes
@large
def test_moments_are_those_of_the_result_large(rng, case, dtype):
    for kernel, args in case.calls(rng, dtype)[:2]:
        y, mean, var = with_moments(kernel)(*args)
        assert np.array_equal(y, kernel(*args))
        assert_moments_of(y, mean, var)


def test_moments_keep_their_digits_far_from_zero(rng):
    """Mean 1000 and deviation 1 in float32: a difference of raw sums would lose the variance."""
    x = (1000 + rng.standard_normal((3, 131, 127, 5))).astype(np.float32)
    w = np.eye(5, dtype=np.float32)[None, None]
    for kernel, args in ((conv2d, (x, w)), (conv2d_input_grad, (x, w, x.shape[1:3]))):
        result = with_moments(kernel)(*args)
        assert_moments_of(*result)
    np.testing.assert_allclose(result[2], 1, rtol=0.05)


def test_moments_of_a_whole_batch_lose_nothing(rng):
    """32 pictures of 255 x 255, two million values in one channel."""
    gy = rng.standard_normal((32, 127, 127, 2)).astype(np.float32)
    w = (5 + rng.standard_normal((3, 3, 1, 2))).astype(np.float32)
    assert_moments_of(*with_moments(conv2d_input_grad)(gy, w, (255, 255), 2))


@pytest.fixture
def on_threads():
    """Runs a call on so many threads; the setting is undone afterwards."""

    def call(count: int, function: Any, *args: Any) -> Any:
        parallel.set_threads(count)
        return function(*args)

    yield call
    parallel.set_threads(None)


@large
def test_same_bits_for_any_number_of_threads(rng, on_threads, case):
    for kernel, args in case.calls(rng, np.float32):
        function = kernel if kernel is conv2d_weight_grad else with_moments(kernel)
        results = [on_threads(count, function, *args) for count in (1, 2, 3, 2)]
        for result in results[1:]:
            for first, other in zip(results[0], result, strict=True):
                assert np.array_equal(first, other)


@large
def test_results_are_fresh_and_inputs_untouched(rng, case):
    for kernel, args in case.calls(rng, np.float32):
        inputs = [a for a in args if isinstance(a, np.ndarray)]
        before = [a.copy() for a in inputs]
        first = kernel(*args)
        kept = first.copy()
        again = kernel(*(a + 1 if isinstance(a, np.ndarray) else a for a in args))
        assert all(map(np.array_equal, inputs, before))
        assert np.array_equal(first, kept)
        assert not any(np.shares_memory(first, a) for a in (*inputs, again))
        assert first.flags.writeable
        assert first.flags.c_contiguous


@both_dtypes
def test_views_of_larger_arrays_count_as_their_copies(rng, dtype):
    """A sum hands back one value stretched over an image; a slice has gaps between its rows."""
    case = Case(2, (31, 33), 6, 5, (3, 3), 2, 1)
    x, w, gy = case.arrays(rng, dtype)
    wide = np.repeat(np.repeat(x, 2, axis=2), 2, axis=3)[:, :, ::2, ::2]
    flipped = np.ascontiguousarray(w[::-1])[::-1]
    flat = np.broadcast_to(gy[:1, :1, :1], gy.shape)
    for kernel, views in (
        (conv2d, (wide, flipped, 2, 1)),
        (conv2d_input_grad, (flat, flipped, case.hw, 2, 1)),
        (conv2d_weight_grad, (wide, flat, case.kernel_hw, 2, 1)),
    ):
        copies = [a.copy() if isinstance(a, np.ndarray) else a for a in views]
        np.testing.assert_allclose(
            kernel(*views), kernel(*copies), rtol=0, atol=100 * np.finfo(dtype).eps * 100
        )


zeros = functools.partial(np.zeros, dtype=np.float32)

# What is called, and the sizes a message has to name: those of the misfit and what it met.
REFUSED = {
    "other channels": (
        (conv2d, zeros((2, 11, 13, 17)), zeros((3, 5, 19, 23))),
        (2, 11, 13, 17, 19),
    ),
    "no batch": ((conv2d, zeros((11, 13, 17)), zeros((3, 5, 17, 23))), (11, 13, 17)),
    "weights without taps": ((conv2d, zeros((2, 11, 13, 17)), zeros((29, 17, 23))), (29, 17, 23)),
    "kernel too high": ((conv2d, zeros((2, 14, 13, 17)), zeros((15, 3, 17, 23))), (14, 13, 15, 3)),
    "gradient of other channels": (
        (conv2d_input_grad, zeros((2, 9, 7, 17)), zeros((3, 5, 19, 23)), (11, 11)),
        (2, 9, 7, 17, 23),
    ),
    "gradient of another size": (
        (conv2d_input_grad, zeros((2, 8, 7, 23)), zeros((3, 5, 19, 23)), (11, 12)),
        (2, 8, 7, 23, 9),
    ),
    "gradient of another batch": (
        (conv2d_weight_grad, zeros((2, 11, 13, 17)), zeros((4, 9, 10, 19)), (3, 4)),
        (4, 9, 10, 19, 2),
    ),
    "gradient of another width": (
        (conv2d_weight_grad, zeros((2, 11, 13, 17)), zeros((2, 9, 8, 19)), (3, 4)),
        (2, 9, 8, 19, 10),
    ),
}


@pytest.mark.parametrize(("call", "sizes"), REFUSED.values(), ids=REFUSED)
def test_shapes_that_do_not_fit_are_refused_by_name(call, sizes):
    kernel, *args = call
    with pytest.raises(ValueError, match=r"\d") as refusal:
        kernel(*args)
    named = re.findall(r"\d+", str(refusal.value))
    assert {str(size) for size in sizes} <= set(named)


@pytest.mark.parametrize("place", [(0, 0), (-1, 0), (1, -1)])
def test_stride_and_padding_out_of_range_are_refused(rng, place):
    case = Case(1, (7, 7), 2, 2, (3, 3), 1, 0)
    for kernel, args in case.calls(rng, np.float32):
        with pytest.raises(ValueError, match=r"stride|pad"):
            kernel(*args[:-2], *place)


def test_mixed_dtypes_are_refused(rng):
    case = Case(1, (7, 7), 2, 2, (3, 3), 1, 0)
    for kernel, (first, second, *rest) in case.calls(rng, np.float32):
        with pytest.raises((ValueError, TypeError), match="float32"):
            kernel(first, second.astype(np.float64), *rest)
