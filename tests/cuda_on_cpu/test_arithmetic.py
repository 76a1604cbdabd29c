"""The small CUDA kernels, on the CPU, against their NumPy twins."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.kernels import arithmetic, layout, statistics
from minispiral.kernels.cuda import launch
from tests.cuda_on_cpu import CpuDevice, in_both_orders, needs_compiler
from tests.kernels.test_adam import both_dtypes

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]

SHAPES = [((3, 5, 7), (3, 5, 7)), ((2, 3, 5, 7), (7,)), ((31,), ()), ((), ()), ((300, 3), (300, 3))]


@both_dtypes
@pytest.mark.parametrize(("a", "b"), SHAPES)
@pytest.mark.parametrize("name", ["add", "multiply"])
def test_sums_and_products_are_numpys(rng, dtype, name, a, b):
    x, y = (rng.standard_normal(shape).astype(dtype) for shape in (a, b))
    function = getattr(arithmetic, name)
    for first, second in ((x, y), (y, x)):
        result = in_both_orders(function, first, second)
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, function(first, second))


def test_what_no_kernel_broadcasts_is_left_to_the_arrays(rng):
    x, y = rng.standard_normal((3, 1)), rng.standard_normal((1, 4))
    np.testing.assert_array_equal(in_both_orders(arithmetic.add, x, y), x + y)
    np.testing.assert_array_equal(in_both_orders(arithmetic.multiply, x, y), x * y)


@pytest.mark.parametrize("to", [np.float32, np.float64])
@both_dtypes
def test_a_copy_in_another_dtype(rng, dtype, to):
    x = rng.standard_normal((5, 61)).astype(dtype)
    result = in_both_orders(arithmetic.astype, x, to)
    assert result.dtype == to
    np.testing.assert_array_equal(result, x.astype(to))


@both_dtypes
@pytest.mark.parametrize("shape", [(2, 5, 7, 3), (9, 40), (6000, 1), (1, 1, 1, 1)])
def test_sums_over_pixels(rng, dtype, shape):
    """Rounded once, from float64."""
    x = rng.standard_normal(shape).astype(dtype)
    axes = len(shape) - 1
    result = in_both_orders(arithmetic.leading_sum, x, axes)
    expected = x.astype(np.longdouble).sum(tuple(range(axes)))
    size = np.abs(x).sum(tuple(range(axes)), dtype=np.float64)
    assert result.dtype == dtype
    assert (np.abs(result - expected) <= 2 * np.finfo(dtype).eps * size).all()


@both_dtypes
def test_running_moments(rng, dtype):
    running, value = (rng.standard_normal(300).astype(dtype) for _ in range(2))

    def blended(running, value):
        arithmetic.blend(running, value, 0.9, 0.1)
        return running

    result = in_both_orders(blended, running, value)
    arithmetic.blend(running, value, 0.9, 0.1)
    np.testing.assert_array_equal(result, running)
    with pytest.raises(ValueError, match=r"shape \(300,\), got .* \(299,\)"):
        in_both_orders(blended, running, value[1:].copy())


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
def test_flips_are_those_of_numpy(n, hw, c, dtype, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(256 if dtype == np.uint8 else 2, size=(n, *hw, c)).astype(dtype)
    flips = rng.random((n, 2)) < 0.5
    expected = images.copy()
    expected[flips[:, 0]] = expected[flips[:, 0], ::-1]
    expected[flips[:, 1]] = expected[flips[:, 1], :, ::-1]
    for flip in (layout.flip, partial(in_both_orders, layout.flip)):
        result = flip(images, flips)
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, expected)


def test_flips_of_anything_else_are_refused():
    images, flips = np.zeros((2, 3, 5, 3), np.uint8), np.zeros((2, 2), np.bool_)
    for wrong in (
        (images, flips[:1].copy()),
        (images, flips.view(np.uint8)),
        (images.astype(np.float32), flips),
    ):
        with pytest.raises(ValueError, match=r"boolean flips \(2, 2\), got"):
            layout.flip(*wrong)


@given(
    channels=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=10, deadline=None)
def test_channels_side_by_side_and_apart(channels, dtype, seed):
    rng = np.random.default_rng(seed)
    xs = [rng.standard_normal((2, 3, 5, c)).astype(dtype) for c in channels]
    y = in_both_orders(layout.concatenate, *xs)
    np.testing.assert_array_equal(y, np.concatenate(xs, -1))
    parts = in_both_orders(layout.split, y, tuple(np.cumsum(channels[:-1])))
    assert len(parts) == len(xs)
    for part, x in zip(parts, xs, strict=True):
        np.testing.assert_array_equal(part, x)


def test_channels_of_other_images_are_refused(rng):
    x = rng.standard_normal((2, 3, 5, 1))
    for other in (rng.standard_normal((2, 5, 3, 1)), x.astype(np.float32)):
        with pytest.raises(ValueError, match="differ in axis 3 alone"):
            layout.concatenate(x, other)


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


@both_dtypes
@pytest.mark.parametrize("reverse", [False, True])
def test_sums_over_batches_are_those_of_the_numpy_twin(rng, dtype, reverse):
    """A batch without crack, one of many blocks, an infinite loss and one that is not a number."""
    host = np.zeros(len(statistics.TOTALS))
    with launch.using(CpuDevice(reverse)) as device:
        totals = device.put(host)
        for shape, share, loss in (
            ((2, 5, 7, 1), 0.3, 1.5),
            ((1, 3, 3, 1), 0.0, np.inf),
            ((2, 60, 50, 1), 0.5, 0.25),
            ((2, 3, 3, 1), 0.5, np.nan),
        ):
            logits = rng.standard_normal(shape).astype(dtype)
            logits.flat[0] = 0  # taken for crack
            mask = rng.random(shape) < share
            batch = np.array(loss, dtype), logits, mask
            statistics.add_batch(host, *batch)
            statistics.add_batch(totals, *map(device.put, batch))
        np.testing.assert_array_equal(device.get(totals), host)


@both_dtypes
def test_sigmoid(rng, dtype):
    x = np.concatenate([3 * rng.standard_normal(4000), [-1e4, -100, 0, 100, 1e4]]).astype(dtype)
    y = in_both_orders(arithmetic.sigmoid, x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, arithmetic.sigmoid(x), rtol=4 * np.finfo(dtype).eps, atol=1e-37)
