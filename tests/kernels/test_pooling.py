"""Max pooling and its gradient against their definition."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.kernels import reference
from minispiral.kernels.cpu import parallel
from minispiral.kernels.pooling import max_pool2d, max_pool2d_grad

both_dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32])


@st.composite
def cases(draw):
    """(shape, size, stride): windows that overlap, tile, leave gaps and leave a remainder."""
    size = draw(st.integers(1, 4))
    sides = st.integers(size, 9)
    shape = (draw(st.integers(1, 3)), draw(sides), draw(sides), draw(st.sampled_from((1, 2, 3, 7))))
    return shape, size, draw(st.integers(1, 5))


@given(
    case=cases(),
    dtype=st.sampled_from([np.float64, np.float32]),
    levels=st.sampled_from([3, 10**6]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=80, deadline=None)
def test_small_shapes_match_the_loops(case, dtype, levels, seed):
    """With three levels nearly every window holds its maximum several times: the first counts."""
    shape, size, stride = case
    rng = np.random.default_rng(seed)
    x = -rng.integers(1, levels, shape, endpoint=True).astype(dtype)
    y, argmax = max_pool2d(x, size, stride)
    expected, expected_argmax = reference.max_pool2d(x, size, stride)
    assert y.dtype == dtype
    assert argmax.dtype == np.int32
    assert np.array_equal(y, expected)
    assert np.array_equal(argmax, expected_argmax)

    gy = rng.integers(-9, 10, y.shape).astype(dtype)  # sums of small integers are exact
    gx = max_pool2d_grad(gy, argmax, shape[1:3], size, stride)
    assert gx.dtype == dtype
    assert np.array_equal(gx, reference.max_pool2d_grad(gy, argmax, shape[1:3], size, stride))


def test_a_picture_worked_by_hand():
    """Two overlapping windows share the 9; the last column belongs to no window."""
    x = np.array([[1, 9, 2, 3, 7], [4, 5, 9, 0, 7], [3, 3, 3, 8, 7]], float)[None, :, :, None]
    gy = np.array([[10.0, 20.0]])[None, :, :, None]
    for pool, grad in (
        (reference.max_pool2d, reference.max_pool2d_grad),
        (max_pool2d, max_pool2d_grad),
    ):
        y, argmax = pool(x[:, :, :4], 3, 1)
        assert y[0, 0, :, 0].tolist() == [9, 9]
        assert argmax[0, 0, :, 0].tolist() == [1, 0]  # of equal values, the first in reading order
        gx = grad(gy, argmax, (3, 4), 3, 1)
        assert gx[0, :, :, 0].tolist() == [[0, 30, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
        y, argmax = pool(x, 2, 2)
        assert y[0, 0, :, 0].tolist() == [9, 9]
        assert argmax[0, 0, :, 0].tolist() == [1, 2]
        gx = grad(gy, argmax, (3, 5), 2, 2)
        assert gx[0, :, :, 0].tolist() == [[0, 10, 0, 0, 0], [0, 0, 20, 0, 0], [0] * 5]


@both_dtypes
@pytest.mark.parametrize(
    ("shape", "size", "stride"),
    [((2, 263, 261, 16), 2, 2), ((3, 189, 187, 33), 3, 2), ((1, 64, 61, 64), 3, 3)],
)
def test_large_pictures_match_sliding_windows(rng, shape, size, stride, dtype):
    x = rng.standard_normal(shape).astype(dtype)
    y, argmax = max_pool2d(x, size, stride)
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))
    windows = windows[:, ::stride, ::stride].reshape(*y.shape, size * size)
    assert np.array_equal(y, windows.max(-1))
    assert np.array_equal(argmax, windows.argmax(-1))

    gy = rng.integers(-9, 10, y.shape).astype(dtype)
    gx = max_pool2d_grad(gy, argmax, shape[1:3], size, stride)
    expected = np.zeros(shape)
    n, i, j, c = np.indices(y.shape)
    place = (n, i * stride + argmax // size, j * stride + argmax % size, c)
    np.add.at(expected, place, gy)
    assert np.array_equal(gx, expected)


def test_a_window_of_minus_infinity_has_its_first_pixel_as_maximum():
    x = np.full((1, 2, 2, 3), -np.inf, np.float32)
    for pool in (reference.max_pool2d, max_pool2d):
        y, argmax = pool(x, 2, 2)
        assert (y == -np.inf).all()
        assert not argmax.any()


def test_same_bits_for_any_number_of_threads(rng):
    x = rng.standard_normal((3, 95, 94, 33)).astype(np.float32)
    gy = rng.standard_normal((3, 47, 46, 33)).astype(np.float32)
    runs = []
    try:
        for count in (1, 2, 3, 2):
            parallel.set_threads(count)
            y, argmax = max_pool2d(x, 3, 2)
            runs.append((y, argmax, max_pool2d_grad(gy, argmax, (95, 94), 3, 2)))
    finally:
        parallel.set_threads(None)
    for other in runs[1:]:
        assert all(map(np.array_equal, runs[0], other))


@pytest.mark.parametrize("shape", [(3, 96, 94, 33), (1, 3, 4, 1)])
def test_results_are_fresh_and_inputs_untouched(rng, shape):
    x = rng.standard_normal(shape).astype(np.float32)
    x_before = x.copy()
    y, argmax = max_pool2d(x, 1, 1)  # the window in which y could be mistaken for x
    y_before, argmax_before = y.copy(), argmax.copy()
    gx = max_pool2d_grad(y, argmax, shape[1:3], 1, 1)
    gx_before = gx.copy()
    max_pool2d(-x, 1, 1)
    max_pool2d_grad(-y, argmax, shape[1:3], 1, 1)
    for array, before in ((x, x_before), (y, y_before), (argmax, argmax_before), (gx, gx_before)):
        assert np.array_equal(array, before)
    assert not np.shares_memory(x, y)
    assert not np.shares_memory(y, gx)


def test_views_of_larger_arrays_count_as_their_copies(rng):
    x = rng.standard_normal((2, 21, 46, 6))[:, :, ::2, ::2]
    y, argmax = max_pool2d(x, 2, 2)
    assert np.array_equal(y, max_pool2d(x.copy(), 2, 2)[0])
    gy = np.broadcast_to(1.0, y.shape)
    gx = max_pool2d_grad(gy, argmax, (21, 23), 2, 2)
    assert np.array_equal(gx, max_pool2d_grad(gy.copy(), argmax, (21, 23), 2, 2))


def refused(call):
    with pytest.raises(ValueError, match=r"\d") as refusal:
        call()
    return {int(number) for number in re.findall(r"\d+", str(refusal.value))}


def test_shapes_that_do_not_fit_are_refused_by_name():
    x = np.zeros((2, 11, 13, 17), np.float32)
    assert {12, 11, 13} <= refused(lambda: max_pool2d(x, 12, 2))
    assert {11, 13, 17} <= refused(lambda: max_pool2d(x[0], 2, 2))
    assert {0, 2} <= refused(lambda: max_pool2d(x, 2, 0))
    assert {0, 2} <= refused(lambda: max_pool2d(x, 0, 2))

    y, argmax = max_pool2d(x, 3, 2)  # 5 x 6
    assert {2, 5, 6, 17} <= refused(lambda: max_pool2d_grad(y[:, :, :5], argmax, (11, 13), 3, 2))
    for wrong_hw in ((9, 13), (11, 15), (14, 13)):
        named = refused(lambda hw=wrong_hw: max_pool2d_grad(y, argmax, hw, 3, 2))
        assert {5, 6, *wrong_hw} <= named
