"""What holds for any input: the mathematics of each operation, on random shapes in float64."""

import operator
from functools import partial

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from minispiral import ops
from minispiral.kernels import conv2d as convolution
from minispiral.kernels import reference
from minispiral.nn import BatchNorm
from minispiral.tensor import Tensor
from tests.engine.properties import assert_close, batches, for_any, integers, run, shapes, values
from tests.kernels.convolutions import small_cases

EPS = BatchNorm.eps

windows = st.tuples(st.integers(1, 3), st.integers(1, 4))  # size and stride


# Convolution


@for_any(case=small_cases())
def test_the_three_kernels_are_adjoint(case, rng):
    """<conv(x, w), gy> = <x, input_grad(gy, w)> = <w, weight_grad(x, gy)>, loops and kernels."""
    x, w, gy = case.arrays(rng, np.float64)
    place = case.stride, case.pad
    scale = np.vdot(reference.conv2d(abs(x), abs(w), *place), abs(gy))
    for kernels in (reference, convolution):
        product = np.vdot(kernels.conv2d(x, w, *place), gy)
        gx = kernels.conv2d_input_grad(gy, w, case.hw, *place)
        gw = kernels.conv2d_weight_grad(x, gy, case.kernel_hw, *place)
        assert_close(np.vdot(x, gx), product, scale)
        assert_close(np.vdot(w, gw), product, scale)


def both_convolutions(case, rng):
    """Convolution and its transpose as functions of tensors, each with an image and weights."""
    x, w, gy = case.arrays(rng, np.float64)
    grown = [case.stride * (n - 1) + k for n, k in zip(case.out_hw, case.kernel_hw, strict=True)]
    assume(min(grown) > 2 * case.pad)
    for function, image in ((ops.conv2d, x), (ops.conv_transpose2d, gy)):
        yield partial(function, stride=case.stride, pad=case.pad), image, w


@for_any(case=small_cases())
def test_convolutions_are_linear_in_image_and_weights(case, rng):
    for conv, x, w in both_convolutions(case, rng):
        x2, w2 = rng.standard_normal(x.shape), rng.standard_normal(w.shape)
        scale = 3 * values(conv, abs(x) + abs(x2), abs(w) + abs(w2)).max()
        by_image = 2 * values(conv, x, w) - 3 * values(conv, x2, w)
        assert_close(values(conv, 2 * x - 3 * x2, w), by_image, scale)
        by_weights = 2 * values(conv, x, w) - 3 * values(conv, x, w2)
        assert_close(values(conv, x, 2 * w - 3 * w2), by_weights, scale)


@for_any(case=small_cases(), down=st.integers(0, 3), right=st.integers(0, 3))
def test_convolutions_follow_their_image_when_it_moves(case, down, right, rng):
    """By multiples of the stride, over zeros like those of the padding."""
    s = case.stride
    for conv, x, w in both_convolutions(case, rng):
        step, out_step = (1, s) if conv.func is ops.conv_transpose2d else (s, 1)
        moved = np.pad(x, ((0, 0), (step * down, 0), (step * right, 0), (0, 0)))
        found = values(conv, moved, w)[:, out_step * down :, out_step * right :]
        assert_close(found, values(conv, x, w), values(conv, abs(x), abs(w)).max())


@for_any(case=small_cases())
def test_padding_is_a_rim_of_zeros_which_the_transpose_cuts_off(case, rng):
    (_, x, w), (_, y, _) = both_convolutions(case, rng)
    p, s = case.pad, case.stride
    wide = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    found = values(ops.conv2d, x, w, stride=s, pad=p)
    scale = values(ops.conv2d, abs(wide), abs(w), stride=s).max()
    assert_close(found, values(ops.conv2d, wide, w, stride=s), scale)
    whole = values(ops.conv_transpose2d, y, w, stride=s)
    inside = whole[:, p : whole.shape[1] - p, p : whole.shape[2] - p]
    scale = values(ops.conv_transpose2d, abs(y), abs(w), stride=s).max()
    assert_close(values(ops.conv_transpose2d, y, w, stride=s, pad=p), inside, scale)


@for_any(case=small_cases())
def test_a_stride_leaves_pixels_out_and_the_transpose_puts_zeros_between(case, rng):
    (_, x, w), (_, y, _) = both_convolutions(case, rng)
    s, p = case.stride, case.pad
    scale = values(ops.conv2d, abs(x), abs(w), pad=p).max()
    expected = values(ops.conv2d, x, w, pad=p)[:, ::s, ::s]
    assert_close(values(ops.conv2d, x, w, stride=s, pad=p), expected, scale)
    n, oh, ow, c = y.shape
    apart = np.zeros((n, s * (oh - 1) + 1, s * (ow - 1) + 1, c))
    apart[:, ::s, ::s] = y
    scale = values(ops.conv_transpose2d, abs(y), abs(w)).max()
    expected = values(ops.conv_transpose2d, apart, w, pad=p)
    assert_close(values(ops.conv_transpose2d, y, w, stride=s, pad=p), expected, scale)


# Batch norm


def affine(rng, c):
    """A gamma of both signs and a beta."""
    return rng.uniform(0.5, 2, c) * rng.choice((-1, 1), c), rng.standard_normal(c)


@for_any(shape=batches, a=st.sampled_from((0.25, 3.0, -0.7)), eps=st.sampled_from((EPS, 0.1)))
def test_batch_norm_undoes_scale_and_shift_of_its_input(shape, a, eps, rng):
    """BN(a*x + b; a**2 * eps) = BN(x; eps), with the other sign for a < 0; gradients follow."""
    x, b = rng.standard_normal(shape), rng.standard_normal(shape[-1])
    gamma, beta = affine(rng, shape[-1])
    std = np.sqrt(x.var((0, 1, 2)) + eps)
    (y, _, gradients), (moved, _, moved_gradients) = (
        run(ops.batch_norm, *arrays, beta, eps=e)
        for e, arrays in ((eps, (x, np.sign(a) * gamma)), (a * a * eps, (a * x + b, gamma)))
    )
    scale = 10 * (1 + np.abs(b / a)).max() / std.min()
    assert_close(moved, y, scale)
    factors = a, np.sign(a), 1
    for g, moved_g, factor in zip(gradients, moved_gradients, factors, strict=True):
        assert_close(factor * moved_g, g, scale * x.size / std.min())


@for_any(shape=batches)
def test_batch_norm_gives_mean_beta_and_variance_gamma_squared(shape, rng):
    """But for eps: the variance is ``gamma**2 * var / (var + eps)``, all of them biased."""
    x, (gamma, beta) = rng.normal(1, 2, shape), affine(rng, shape[-1])
    eps = rng.choice([EPS, 0.1, 2.0])
    y = values(ops.batch_norm, x, gamma, beta, eps=eps)
    axes = (0, 1, 2)
    var = x.var(axes)
    scale = 50 / np.sqrt(var.min() + eps)
    assert_close(y.mean(axes), beta, scale)
    assert_close(y.var(axes), gamma**2 * var / (var + eps), scale)


@for_any(shape=batches)
def test_gradient_of_batch_norm_moves_neither_mean_nor_scale(shape, rng):
    """It sums to zero and is orthogonal to xhat, but for the share eps / (var + eps) of ggamma."""
    x, (gamma, beta) = rng.normal(1, 2, shape), affine(rng, shape[-1])
    _, _, (gx, ggamma, _) = run(ops.batch_norm, x, gamma, beta)
    axes = (0, 1, 2)
    var = x.var(axes)
    std = np.sqrt(var + EPS)
    scale = 100 * x.size / std.min() ** 2
    assert_close(gx.sum(axes), np.zeros(shape[-1]), scale)
    along = (gx * (x - x.mean(axes)) / std).sum(axes)
    assert_close(along, gamma / std * ggamma * EPS / (var + EPS), scale)


# Maxima


@for_any(shape=shapes, window=windows)
def test_max_pooling_commutes_with_increasing_functions(shape, window, rng):
    size, stride = window
    assume(size <= min(shape[1:3]))
    x = rng.standard_normal(shape)
    y = values(ops.max_pool2d, x, size=size, stride=stride)
    for f in (lambda x: x * x * x, lambda x: 3 * x - 5):
        found = values(ops.max_pool2d, f(x), size=size, stride=stride)
        np.testing.assert_array_equal(found, f(y))


@for_any(shape=shapes, window=windows)
def test_max_pooling_hands_back_all_of_its_gradient_where_the_maxima_are(shape, window, rng):
    """sum(gx) = sum(gy) by channel and, for it scales with x, <x, gx> = <y, gy>."""
    size, stride = window
    assume(size <= min(shape[1:3]))
    x = Tensor(integers(rng, shape), requires_grad=True)
    y = ops.max_pool2d(x, size, stride)
    gy = integers(rng, y.shape)
    y.backward(gy)
    np.testing.assert_array_equal(x.grad.sum((1, 2)), gy.sum((1, 2)))
    np.testing.assert_array_equal((x.data * x.grad).sum((1, 2)), (y.data * gy).sum((1, 2)))


@for_any(shape=shapes, window=windows)
def test_of_equal_maxima_the_first_gets_the_gradient(shape, window, rng):
    """As if pixels were a little smaller the later they come in reading order."""
    size, stride = window
    assume(size <= min(shape[1:3]))
    x = integers(rng, shape, most=1)
    pool = partial(ops.max_pool2d, size=size, stride=stride)
    later = np.arange(shape[1] * shape[2]).reshape(shape[1], -1, 1)
    _, _, (gx,) = run(pool, x)
    _, _, (expected,) = run(pool, x - 1e-3 * later)
    np.testing.assert_array_equal(gx, expected)


@for_any(shape=shapes)
def test_relu_is_idempotent_and_scales_with_its_input(shape, rng):
    x = integers(rng, shape, most=3)
    y, gy, (gx,) = run(ops.relu, x)
    np.testing.assert_array_equal(values(ops.relu, y), y)
    np.testing.assert_array_equal(values(ops.relu, 4 * x), 4 * y)
    np.testing.assert_array_equal(2 * y, x + abs(x))
    np.testing.assert_array_equal(x * gx, y * gy)
    assert not gx[x == 0].any()  # what the gradient is there is a convention


# Elements, shapes and sums


@for_any(shape=shapes)
def test_sigmoid_and_log_have_their_functional_equations(shape, rng):
    """sigma(x) + sigma(-x) = 1, log(sigma(x) / sigma(-x)) = x, log(a b) = log(a) + log(b)."""
    x, y = rng.normal(0, 3, shape), rng.uniform(0.1, 9, shape)
    p, q = values(ops.sigmoid, x), values(ops.sigmoid, -x)
    assert_close(p + q, np.ones(shape), 10)
    assert_close(values(ops.log, p / q), x, 100)
    assert_close(values(ops.log, y * p), values(ops.log, y) + values(ops.log, p), 100)
    _, gy, (gx,) = run(ops.sigmoid, x)
    assert_close(gx, gy * p * q, 10)


@for_any(shape=shapes, sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_what_is_concatenated_is_found_again_and_so_is_its_gradient(shape, sizes, rng):
    axis = int(rng.integers(-4, 4))
    parts = [integers(rng, np.where(np.arange(4) == axis % 4, n, shape)) for n in sizes]
    y, gy, gradients = run(lambda *xs: ops.concatenate(xs, axis), *parts)
    borders = np.cumsum(sizes)[:-1]
    for found, given_parts in ((y, parts), (gy, gradients)):
        for a, b in zip(np.split(found, borders, axis), given_parts, strict=True):
            np.testing.assert_array_equal(a, b)


@for_any(shape=shapes)
def test_reshaping_keeps_the_order_of_elements(shape, rng):
    x = rng.standard_normal(shape)
    to = tuple(rng.permutation(shape))
    y, gy, (gx,) = run(ops.reshape, x, shape=to)
    np.testing.assert_array_equal(values(ops.reshape, y, shape=shape), x)
    np.testing.assert_array_equal(y.ravel(), x.ravel())
    np.testing.assert_array_equal(gx.ravel(), gy.ravel())


@for_any(shape=shapes, axes=st.sets(st.integers(0, 3), min_size=1))
def test_sums_do_not_mind_their_order_and_spread_their_gradient(shape, axes, rng):
    x, axes = integers(rng, shape), tuple(axes)
    y, gy, (gx,) = run(ops.sum, x, axis=axes, keepdims=True)
    np.testing.assert_array_equal(values(ops.sum, x), values(ops.sum, y))
    np.testing.assert_array_equal(gx, np.broadcast_to(gy, shape))
    count = x.size // y.size
    np.testing.assert_allclose(count * values(ops.mean, x, axis=axes, keepdims=True), y, rtol=1e-14)


@for_any(shape=shapes)
def test_a_broadcast_operand_counts_as_its_copies(shape, rng):
    """Copying is linear; its adjoint hands back <v, gb> = <copies of v, gradient of the copies>."""
    b_shape = np.where(rng.random(4) < 0.5, 1, shape)[rng.integers(5) :]
    a, b, v = integers(rng, shape), rng.uniform(1, 2, b_shape), rng.standard_normal(b_shape)
    copies, copies_of_v = (np.array(np.broadcast_to(array, shape)) for array in (b, v))
    for arithmetic in (operator.add, operator.sub, operator.mul, operator.truediv):
        for function in (arithmetic, lambda a, b, f=arithmetic: f(b, a + 20.5)):
            y, _, (ga, gb) = run(function, a, b)
            expected, _, (expected_ga, g_copies) = run(function, a, copies)
            np.testing.assert_array_equal(y, expected)
            np.testing.assert_array_equal(ga, expected_ga)
            assert_close(np.vdot(v, gb), np.vdot(copies_of_v, g_copies), 50 * a.size)
