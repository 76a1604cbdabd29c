"""Batch norm, alone and with ReLU, against its definition and finite differences."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.kernels import batchnorm, reference
from minispiral.kernels.cpu import parallel

EPS = 1e-5
TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}

both_dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32])
dtypes = st.sampled_from([np.float64, np.float32])
seeds = st.integers(0, 2**32)
small_shapes = st.one_of(
    st.tuples(
        st.integers(1, 3), st.integers(1, 7), st.integers(1, 7), st.sampled_from((1, 2, 3, 7, 64))
    ),
    st.tuples(st.integers(1, 9), st.integers(1, 5)),
)
# Many tiles; many channels of few pixels; one channel of two million.
LARGE = [(3, 127, 127, 17), (2, 63, 65, 64), (64, 3, 3, 512), (5, 31, 29, 3), (32, 255, 255, 1)]
large = pytest.mark.parametrize("shape", LARGE, ids=str)


def layer(rng, shape, dtype, offset=0.0):
    """x, gy, its moments as float arrays, gamma and beta; gamma of both signs."""
    channels = shape[-1]
    x = (offset + rng.uniform(0.5, 2, channels) * rng.standard_normal(shape)).astype(dtype)
    gy = rng.standard_normal(shape).astype(dtype)
    axes = tuple(range(len(shape) - 1))
    mean = x.mean(axes, dtype=np.float64).astype(dtype)
    var = x.var(axes, dtype=np.float64).astype(dtype)
    gamma = (rng.uniform(0.5, 2, channels) * rng.choice((-1, 1), channels)).astype(dtype)
    beta = rng.standard_normal(channels).astype(dtype)
    # At the bend of the ReLU a gradient turns on rounding: let none arrive there.
    output = gamma * (np.float64(x) - mean) / np.sqrt(np.float64(var) + EPS) + beta
    gy[np.abs(output) < 1e-4] = 0
    return x, gy, mean, var, gamma, beta


def calls(rng, shape, dtype, offset=0.0):
    """Every kernel of the file as (name, arguments)."""
    x, gy, mean, var, gamma, beta = layer(rng, shape, dtype, offset)
    return {
        "moments": (x,),
        "normalize": (x, mean, var, gamma, beta, EPS),
        "normalize_relu": (x, mean, var, gamma, beta, EPS),
        "normalize_grad": (x, gy, mean, var, gamma, EPS),
        "normalize_relu_grad": (x, gy, mean, var, gamma, beta, EPS),
    }


def results(result):
    return result if isinstance(result, tuple) else (result,)


def arrays(args):
    return [a for a in args if isinstance(a, np.ndarray)]


def assert_matches(result, expected, dtype, scale):
    for array, wanted in zip(results(result), results(expected), strict=True):
        assert array.dtype == dtype
        assert array.shape == wanted.shape
        np.testing.assert_allclose(array, wanted, rtol=0, atol=TOLERANCE[dtype] * scale)


def vectorised(name, args):
    """The formulas once more, on whole arrays in float64, for sizes beyond loops."""
    x, *rest = (np.float64(a) for a in args)
    axes = tuple(range(x.ndim - 1))
    if name == "moments":
        return x.mean(axes), x.var(axes)
    if name.endswith("grad"):
        gy, mean, var, gamma, *beta, eps = rest
    else:
        mean, var, gamma, *beta, eps = rest
    xhat = (x - mean) / np.sqrt(var + eps)
    y = gamma * xhat + (beta[0] if beta else 0)
    if not name.endswith("grad"):
        return np.maximum(y, 0) if "relu" in name else y
    if "relu" in name:
        gy = np.where(y > 0, gy, 0)
    gx = gy - gy.mean(axes) - xhat * (gy * xhat).mean(axes)
    return gamma / np.sqrt(var + eps) * gx, (gy * xhat).sum(axes), gy.sum(axes)


@given(shape=small_shapes, dtype=dtypes, seed=seeds)
@settings(max_examples=80, deadline=None)
def test_small_shapes_match_the_loops(shape, dtype, seed):
    for name, args in calls(np.random.default_rng(seed), shape, dtype).items():
        result, expected = getattr(batchnorm, name)(*args), getattr(reference, name)(*args)
        # Where a channel has hardly any spread, 1 / sqrt(var + eps) is a large factor.
        var = args[0].astype(np.float64).reshape(-1, shape[-1]).var(0)
        assert_matches(result, expected, dtype, scale=10 / min(1, np.sqrt(var.min() + EPS)))


@both_dtypes
@large
def test_large_shapes_match_whole_array_formulas(rng, shape, dtype):
    count = np.prod(shape[:-1])
    for name, args in calls(rng, shape, dtype).items():
        result, expected = getattr(batchnorm, name)(*args), vectorised(name, args)
        # Sums of gy over a channel are of the size of the square root of their number.
        first, *sums = zip(results(result), results(expected), strict=True)
        assert_matches(*first, dtype, scale=10)
        for pair in sums:
            assert_matches(*pair, dtype, scale=10 if name == "moments" else 3 * np.sqrt(count))


def test_the_loops_match_the_whole_array_formulas(rng):
    for shape in ((2, 5, 4, 3), (7, 2), (1, 1, 1, 4)):
        for name, args in calls(rng, shape, np.float64).items():
            assert_matches(
                getattr(reference, name)(*args), vectorised(name, args), np.float64, scale=1e3
            )


def test_a_channel_worked_by_hand():
    """Values 1, 3, 5, 7: mean 4, variance 5; eps 4 makes the divisor 3."""
    x = np.array([1.0, 3.0, 5.0, 7.0]).reshape(1, 2, 2, 1)
    gy = np.array([1.0, 0.0, 0.0, 2.0]).reshape(1, 2, 2, 1)
    gamma, beta = np.array([3.0]), np.array([-2.0])
    for kernels in (reference, batchnorm):
        mean, var = kernels.moments(x)
        assert (mean.tolist(), var.tolist()) == ([4.0], [5.0])
        y = kernels.normalize(x, mean, var, gamma, beta, 4.0)
        np.testing.assert_allclose(y.ravel(), [-5, -3, -1, 1], atol=1e-14)
        y = kernels.normalize_relu(x, mean, var, gamma, beta, 4.0)
        np.testing.assert_allclose(y.ravel(), [0, 0, 0, 1], atol=1e-14)
        # xhat = -1, -1/3, 1/3, 1: gbeta = 3, ggamma = -1 + 2, gx = gy - 3/4 - xhat * 1/4
        gx, ggamma, gbeta = kernels.normalize_grad(x, gy, mean, var, gamma, 4.0)
        np.testing.assert_allclose([*ggamma, *gbeta], [1, 3], atol=1e-14)
        np.testing.assert_allclose(gx.ravel(), [1 / 2, -2 / 3, -5 / 6, 1], atol=1e-14)
        # Only the last output is positive: gbeta = 2, ggamma = 2, gx = gy - 1/2 - xhat / 2
        gx, ggamma, gbeta = kernels.normalize_relu_grad(x, gy, mean, var, gamma, beta, 4.0)
        np.testing.assert_allclose([*ggamma, *gbeta], [2, 2], atol=1e-14)
        np.testing.assert_allclose(gx.ravel(), [0, -1 / 3, -2 / 3, 1], atol=1e-14)


@pytest.mark.parametrize("relu", [False, True])
def test_gradients_are_those_of_finite_differences(rng, relu):
    """The moments move with x: their share of gx is what is easily forgotten."""
    x, gy, mean, var, gamma, beta = layer(rng, (2, 3, 4, 2), np.float64)

    def weighted_output(x, gamma, beta):
        forward = batchnorm.normalize_relu if relu else batchnorm.normalize
        return np.vdot(gy, forward(x, *batchnorm.moments(x), gamma, beta, EPS))

    if relu:
        gradients = batchnorm.normalize_relu_grad(x, gy, mean, var, gamma, beta, EPS)
    else:
        gradients = batchnorm.normalize_grad(x, gy, mean, var, gamma, EPS)
    step = 1e-6
    for which, gradient in enumerate(gradients):
        for at in np.ndindex(*gradient.shape):
            sides = []
            for side in (step, -step):
                moved = [a.copy() for a in (x, gamma, beta)]
                moved[which][at] += side
                sides.append(weighted_output(*moved))
            assert (sides[0] - sides[1]) / (2 * step) == pytest.approx(
                gradient[at], rel=1e-6, abs=1e-7
            )


@large
@pytest.mark.parametrize("offset", [0, -7, 1000])
def test_moments_keep_their_digits_far_from_zero(rng, shape, offset):
    """In float32, mean 1000 and deviation 1: a difference of raw sums would lose the variance."""
    x = (offset + rng.standard_normal(shape)).astype(np.float32)
    mean, var = batchnorm.moments(x)
    expected_mean, expected_var = vectorised("moments", (x,))
    rounding = np.finfo(np.float32).eps * max(1, abs(offset))
    np.testing.assert_allclose(mean, expected_mean, rtol=0, atol=rounding)
    np.testing.assert_allclose(var, expected_var, rtol=1e-5)


@pytest.mark.parametrize("shape", [(2, 255, 255, 1), (1, 200, 131, 3), (4, 64, 64, 16)], ids=str)
def test_moments_of_pictures_with_a_flat_background(rng, shape):
    """Equal values round the same way each time, so that plain float32 sums drift."""
    x = np.full(shape, 0.1, np.float32)
    marked = rng.random(shape) < 0.3
    x[marked] = rng.normal(5, 2, np.count_nonzero(marked))
    mean, var = batchnorm.moments(x)
    expected_mean, expected_var = vectorised("moments", (x,))
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-6)
    np.testing.assert_allclose(var, expected_var, rtol=1e-5)


def test_a_constant_channel_has_variance_zero():
    for value in (0.1, 1000.3, -7e8):
        mean, var = batchnorm.moments(np.full((4, 63, 65, 3), value, np.float32))
        assert (mean == np.float32(value)).all()
        assert (var >= 0).all()
        assert (var <= (1e-7 * value) ** 2).all()


@pytest.mark.parametrize("offset", [30, 1000])
def test_normalizing_far_from_zero_loses_only_what_x_itself_has_lost(rng, offset):
    """Float32 holds x to eps * offset; the output, deviation about one, is as good as that."""
    for name, args in calls(rng, (3, 63, 65, 7), np.float32, offset).items():
        if name in ("normalize", "normalize_relu"):
            result, expected = getattr(batchnorm, name)(*args), vectorised(name, args)
            atol = 10 * np.finfo(np.float32).eps * offset
            np.testing.assert_allclose(result, expected, rtol=0, atol=atol)


@large
def test_same_bits_for_any_number_of_threads(rng, shape):
    try:
        for name, args in calls(rng, shape, np.float32).items():
            kernel = getattr(batchnorm, name)
            runs = []
            for count in (1, 2, 3, 2):
                parallel.set_threads(count)
                runs.append(results(kernel(*args)))
            for other in runs[1:]:
                assert all(map(np.array_equal, runs[0], other))
    finally:
        parallel.set_threads(None)


@pytest.mark.parametrize("shape", [(3, 127, 127, 17), (2, 3, 5, 4)])
def test_results_are_fresh_and_inputs_untouched(rng, shape):
    for name, args in calls(rng, shape, np.float32).items():
        kernel = getattr(batchnorm, name)
        before = [a.copy() for a in arrays(args)]
        first = results(kernel(*args))
        kept = [a.copy() for a in first]
        again = results(kernel(*(a + 1 if isinstance(a, np.ndarray) else a for a in args)))
        assert all(map(np.array_equal, arrays(args), before))
        assert all(map(np.array_equal, first, kept))
        for array in first:
            assert not any(np.shares_memory(array, a) for a in (*arrays(args), *again))
            assert array.flags.writeable


def test_views_of_larger_arrays_count_as_their_copies(rng):
    """A sum hands back one value stretched over an image; a slice has gaps between its rows."""
    for name, args in calls(rng, (3, 31, 33, 6), np.float32).items():
        wide = np.repeat(args[0], 2, axis=2)[:, :, ::2]
        args = [wide, *args[1:]]
        if "grad" in name:
            args[1] = np.broadcast_to(np.float32(1), wide.shape)
        copies = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
        kernel = getattr(batchnorm, name)
        assert all(map(np.array_equal, results(kernel(*args)), results(kernel(*copies))))


def test_shapes_that_do_not_fit_are_refused_by_name(rng):
    for name, args in calls(rng, (2, 11, 13, 17), np.float32).items():
        for i in range(1, len(args) - 1):
            for wrong in (np.zeros(19, np.float32), np.zeros(1, np.float32)):
                misfit = [*args[:i], wrong, *args[i + 1 :]]
                with pytest.raises(ValueError, match=r"\d") as refusal:
                    getattr(batchnorm, name)(*misfit)
                named = set(re.findall(r"\d+", str(refusal.value)))
                assert {str(wrong.size), "17"} <= named, (name, i, str(refusal.value))


def test_a_gradient_of_another_shape_is_refused_with_both_shapes(rng):
    for name, args in calls(rng, (2, 11, 13, 17), np.float32).items():
        if name.endswith("grad"):
            for shape in ((2, 13, 11, 17), (2, 11, 13, 1), (1, 11, 13, 17)):
                with pytest.raises(ValueError, match=r"\d") as refusal:
                    getattr(batchnorm, name)(args[0], np.zeros(shape, np.float32), *args[2:])
                named = set(re.findall(r"\d+", str(refusal.value)))
                assert {str(size) for size in (*shape, 2, 11, 13, 17)} <= named
