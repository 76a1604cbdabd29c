"""The CUDA kernels of batch norm, on the CPU, against loops and against their NumPy twins."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings

from minispiral.kernels import arithmetic, batchnorm, reference
from minispiral.kernels.cuda import batchnorm as cuda
from minispiral.kernels.cuda import launch
from minispiral.kernels.norm import Norm
from tests.cuda_on_cpu import CpuDevice, call, in_both_orders, needs_compiler
from tests.kernels.test_batchnorm import EPS, assert_matches, calls, dtypes, seeds, small_shapes

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]


@given(shape=small_shapes, dtype=dtypes, seed=seeds)
@settings(max_examples=25, deadline=None)
def test_small_shapes_match_the_loops(shape, dtype, seed):
    for name, args in calls(np.random.default_rng(seed), shape, dtype).items():
        result, expected = (
            in_both_orders(getattr(batchnorm, name), *args),
            getattr(reference, name)(*args),
        )
        var = args[0].astype(np.float64).reshape(-1, shape[-1]).var(0)
        assert_matches(result, expected, dtype, scale=10 / min(1, np.sqrt(var.min() + EPS)))


# Several blocks along the rows, along the channels, along both; one channel; an odd rest.
@pytest.mark.parametrize("few", [0, cuda.FEW_PARTS])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "shape", [(2, 63, 65, 3), (1, 7, 5, 130), (3, 15, 17, 68), (5001, 1)], ids=str
)
def test_shapes_of_several_blocks_match_the_numpy_twins(rng, shape, dtype, few, monkeypatch):
    """Also where even a few parts of sums are merged by a launch of their own."""
    monkeypatch.setattr(cuda, "FEW_PARTS", few)
    for name, args in calls(rng, shape, dtype).items():
        result, expected = (
            in_both_orders(getattr(batchnorm, name), *args),
            getattr(batchnorm, name)(*args),
        )
        assert_matches(result, expected, dtype, scale=100)


def test_moments_keep_their_digits_far_from_zero(rng):
    """In float32, mean 1000 and deviation 1: a difference of raw sums would lose the variance."""
    x = (1000 + rng.standard_normal((2, 33, 31, 5))).astype(np.float32)
    mean, var = in_both_orders(batchnorm.moments, x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean((0, 1, 2)), rtol=1e-7)
    np.testing.assert_allclose(var, exact.var((0, 1, 2)), rtol=1e-6)


@pytest.mark.parametrize(("rows", "c"), [(4000, 2), (517, 5), (67, 33), (5, 301)])
def test_many_parts_far_from_zero_are_merged_without_losing_digits(rng, rows, c):
    """Parts of one row to nine; the first has none, as where a process has no image."""
    x = rng.normal(rng.uniform(-1e6, 1e6, c), rng.uniform(0.1, 2, c), (rows, c))
    x[: rows // 3] += 30  # parts are far from each other too
    cuts = np.concatenate(([0], np.cumsum(rng.integers(1, 10, rows))))
    parts = np.split(x, cuts[cuts < rows])
    told = [(len(p), p.mean(0), ((p - p.mean(0)) ** 2).sum(0)) for p in parts[1:]]
    given = np.stack([np.zeros((c, 3)), *(np.stack([np.full(c, n), *ms], -1) for n, *ms in told)])
    mean, var = in_both_orders(cuda.merged_moments, given, np.float64)
    exact = x.astype(np.longdouble)
    np.testing.assert_allclose(mean, exact.mean(0).astype(np.float64), rtol=1e-14)
    np.testing.assert_allclose(var, exact.var(0).astype(np.float64), rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_arrays_that_are_not_aligned_give_the_same_bits(rng, dtype, monkeypatch):
    """Where they are, and channels come in 16 bytes, a thread reads as many at once."""
    monkeypatch.setattr(cuda, "FEW_PARTS", 0)
    x, gy, mean, var, gamma, beta, eps = calls(rng, (2, 9, 7, 20), dtype)["normalize_relu_grad"]

    def with_offset(x, gy):
        vectors = (launch.gpu().put(vector) for vector in (mean, var, gamma, beta))
        arrays = (array[array.size - gy.size :].reshape(2, 9, 7, 20) for array in (x, gy))
        return batchnorm.normalize_relu_grad(*arrays, *vectors, eps)

    aligned = in_both_orders(with_offset, x.ravel(), gy.ravel())
    longer = np.append(np.ones(1, dtype), x.ravel())
    expected = batchnorm.normalize_relu_grad(x, gy, mean, var, gamma, beta, eps)
    assert_matches(aligned, expected, dtype, scale=100)
    monkeypatch.setattr(cuda, "FEW_PARTS", 64)  # the gradients in one launch have these bits too
    for array, other in zip(
        in_both_orders(with_offset, x.ravel(), gy.ravel()), aligned, strict=True
    ):
        np.testing.assert_array_equal(array, other)
    monkeypatch.setattr(cuda, "FEW_PARTS", 0)
    device = CpuDevice(reverse=True)  # arrays begin at a page, so this one is off by a number
    for array, other in zip(call(device, with_offset, longer, gy.ravel()), aligned, strict=True):
        np.testing.assert_array_equal(array, other)


def test_constant_moments_do_not_follow_x(rng):
    args = calls(rng, (2, 5, 7, 9), np.float64)
    for name in ("normalize_grad", "normalize_relu_grad"):
        expected = getattr(batchnorm, name)(*args[name], True)
        result = in_both_orders(getattr(batchnorm, name), *args[name], True)
        assert_matches(result, expected, np.float64, scale=10)


def test_what_is_not_a_number_shows(rng):
    x, mean, var, gamma, beta, eps = calls(rng, (2, 5, 7, 9), np.float32)["normalize_relu"]
    x[1, 2, 3, 4] = np.nan
    y = in_both_orders(batchnorm.normalize_relu, x, mean, var, gamma, beta, eps)
    assert np.argwhere(np.isnan(y)).tolist() == [[1, 2, 3, 4]]
    for vector in in_both_orders(batchnorm.moments, x):
        assert np.flatnonzero(np.isnan(vector)).tolist() == [4]


def test_dtypes_that_do_not_fit_are_refused(rng):
    x, gy, mean, var, gamma, eps = calls(rng, (2, 5, 7, 9), np.float32)["normalize_grad"]
    with pytest.raises(ValueError, match="one dtype throughout"):
        in_both_orders(batchnorm.normalize_grad, x, gy, mean, var, gamma.astype(np.float64), eps)
    with pytest.raises(ValueError, match="float32 or float64, got int64"):
        in_both_orders(batchnorm.moments, np.ones((3, 2), np.int64))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scale_and_shift_are_those_of_the_numpy_twin(rng, dtype):
    vectors = calls(rng, (2, 5, 7, 301), dtype)["normalize"][1:]
    result = in_both_orders(batchnorm.scale_shift, dtype, *vectors)
    expected = batchnorm.scale_shift(dtype, *vectors)
    assert_matches(result, expected, dtype, scale=100)
    with pytest.raises(ValueError, match="float32 or float64, got float16"):
        in_both_orders(batchnorm.scale_shift, np.float16, *vectors)


def batch_norm(x, gamma, beta, eps, running_mean, running_var, momentum):
    """Everything that one pass over the moments makes for a batch norm in training."""
    norm = Norm(gamma, beta, eps, running_mean, running_var, momentum)
    moments = batchnorm.moments(x, norm)
    return *moments, norm.scale, norm.shift, norm.running_mean, norm.running_var


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(2, 31, 33, 3), (1, 3, 5, 131), (7, 1)], ids=str)
def test_scale_shift_and_running_moments_are_those_of_the_numpy_twin(rng, shape, dtype):
    """The numbers of `scale_shift`, and of running moments that are moved one by one."""
    x = (5 + rng.standard_normal(shape)).astype(dtype)
    gamma, beta, mean, var = (rng.uniform(0.5, 2, shape[-1]).astype(dtype) for _ in range(4))
    momentum = rng.uniform(0.05, 0.5)

    def arguments():
        return x, gamma, beta, EPS, mean.copy(), var.copy(), momentum

    result = in_both_orders(batch_norm, *arguments())
    assert_matches(result, batch_norm(*arguments()), dtype, scale=100)
    batch_mean, batch_var, *affine, new_mean, new_var = result
    for vector, wanted in zip(
        affine,
        batchnorm.scale_shift(dtype, batch_mean, batch_var, gamma, beta, EPS),
        strict=True,
    ):
        np.testing.assert_array_equal(vector, wanted)
    m = x.size // shape[-1]
    arithmetic.blend(mean, batch_mean, 1 - momentum, momentum)
    arithmetic.blend(var, batch_var, 1 - momentum, momentum * m / (m - 1))
    np.testing.assert_array_equal(new_mean, mean)
    np.testing.assert_array_equal(new_var, var)


def test_vectors_of_another_norm_are_refused(rng):
    x, row = rng.standard_normal((2, 5, 7, 9)), rng.random(9)
    for wrong in (np.ones(8), np.ones(9, np.float32)):
        for function in (batch_norm, partial(in_both_orders, batch_norm)):
            with pytest.raises(ValueError, match=r"float64 and shape \(9,\) for the norm"):
                function(x, row, wrong, EPS, row.copy(), row.copy(), 0.1)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sums_that_others_took_save_the_first_pass(rng, dtype):
    """Sums over any parts of the pixels, taken here in NumPy; one part is of no pixel."""
    x, gy, mean, var, gamma, beta, eps = calls(rng, (3, 11, 13, 20), dtype)["normalize_relu_grad"]
    g = np.where(batchnorm.normalize_relu(x, mean, var, gamma, beta, eps) > 0, gy, 0)
    rows = [array.reshape(-1, 20).astype(np.float64) for array in (g, g * (x - mean))]
    cuts = np.sort([0, 0, *rng.integers(len(rows[0]), size=5)])
    sums = np.stack([np.add.reduceat(array, cuts) for array in rows], -1)
    sums[np.diff(cuts, append=len(rows[0])) == 0] = 0
    device, arguments = CpuDevice(), (x, gy, mean, var, gamma, beta, eps, False)
    result = call(device, batchnorm.normalize_relu_grad, *arguments, sums)
    assert not any("block_grad_sums" in name for name in device.launched)
    assert_matches(result, batchnorm.normalize_relu_grad(*arguments), dtype, scale=100)
    with pytest.raises(ValueError, match=r"expected sums \(parts, 20, 2\)"):
        call(device, batchnorm.normalize_relu_grad, *arguments, sums[:, :7].copy())
