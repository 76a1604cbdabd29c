"""The CUDA kernels of arithmetic, on the CPU, against their NumPy twins."""

import numpy as np
import pytest

from minispiral.kernels import arithmetic
from tests.cuda_on_cpu import in_both_orders, needs_compiler
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


@both_dtypes
@pytest.mark.parametrize("count", [1, 2, 3, 8, 9, 17])
def test_totals_are_sums_from_the_left(rng, dtype, count):
    """Which is the order of their rounding."""
    xs = [rng.standard_normal((2, 3, 5, 31)).astype(dtype) for _ in range(count)]
    result = in_both_orders(arithmetic.total, *xs)
    expected = xs[0]
    for x in xs[1:]:
        expected = expected + x
    assert result.tobytes() == expected.tobytes() == arithmetic.total(*xs).tobytes()
    with pytest.raises(ValueError, match="one shape and dtype"):
        in_both_orders(arithmetic.total, *xs, xs[0][1:].copy())


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
def test_sigmoid(rng, dtype):
    x = np.concatenate([3 * rng.standard_normal(4000), [-1e4, -100, 0, 100, 1e4]]).astype(dtype)
    y = in_both_orders(arithmetic.sigmoid, x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, arithmetic.sigmoid(x), rtol=4 * np.finfo(dtype).eps, atol=1e-37)
