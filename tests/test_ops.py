"""Every operation against central differences, and its values against NumPy."""

from collections.abc import Callable

import numpy as np
import pytest
from gradients import assert_gradients

from minispiral import ops
from minispiral.tensor import Tensor


def random_tensor(rng: np.random.Generator, *shape: int, low: float = 0.2) -> Tensor:
    """Numbers of either sign, none nearer to zero than ``low``: no kink is met by accident."""
    data = rng.uniform(low, 2, shape) * rng.choice([-1.0, 1.0], shape)
    return Tensor(data, requires_grad=True)


@pytest.mark.parametrize(
    "function",
    [lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b],
    ids=["add", "subtract", "multiply", "divide"],
)
@pytest.mark.parametrize(
    "shapes", [((3, 4), (3, 4)), ((2, 3, 4), (3, 1)), ((1, 4), (5, 1)), ((3,), ())]
)
def test_arithmetic_with_broadcasting(
    function: Callable[[Tensor, Tensor], Tensor],
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    rng: np.random.Generator,
) -> None:
    a, b = (random_tensor(rng, *shape) for shape in shapes)
    np.testing.assert_array_equal(function(a, b).data, function(a.data, b.data))  # type: ignore[arg-type]
    assert_gradients(function, [a, b], rng)


def test_arithmetic_with_numbers_on_either_side(rng: np.random.Generator) -> None:
    x = random_tensor(rng, 5)
    assert_gradients(lambda x: (2.0 - x) * 3.0 + 1.0 / x - (-x) / 2.0, [x], rng)


@pytest.mark.parametrize("axis", [None, 0, (0, 2), -1])
@pytest.mark.parametrize("keepdims", [False, True])
def test_sum_and_mean(axis, keepdims: bool, rng: np.random.Generator) -> None:
    x = random_tensor(rng, 3, 4, 5)
    for function in (ops.sum, ops.mean):
        expected = getattr(np, function.__name__)(x.data, axis=axis, keepdims=keepdims)
        np.testing.assert_allclose(function(x, axis, keepdims).data, expected, rtol=1e-14)
        assert_gradients(lambda x, f=function: f(x, axis, keepdims), [x], rng)


def test_reshape_and_concatenate(rng: np.random.Generator) -> None:
    a, b, c = random_tensor(rng, 2, 6), random_tensor(rng, 3, 4, 1), random_tensor(rng, 3, 4, 2)
    assert_gradients(lambda x: ops.reshape(x, (3, 4, 1)), [a], rng)
    joined = ops.concatenate([ops.reshape(a, (3, 4, 1)), b, c])
    assert joined.shape == (3, 4, 4)
    assert_gradients(lambda b, c: ops.concatenate([b, c, b]), [b, c], rng)
    assert_gradients(
        lambda b, d: ops.concatenate([d, b], axis=1), [b, random_tensor(rng, 3, 2, 1)], rng
    )


@pytest.mark.parametrize("function", [ops.relu, ops.sigmoid], ids=["relu", "sigmoid"])
def test_elementwise(function: Callable[[Tensor], Tensor], rng: np.random.Generator) -> None:
    assert_gradients(function, [random_tensor(rng, 3, 7)], rng)


def test_log(rng: np.random.Generator) -> None:
    x = Tensor(rng.uniform(0.5, 2, (3, 4)), requires_grad=True)
    np.testing.assert_array_equal(ops.log(x).data, np.log(x.data))
    assert_gradients(ops.log, [x], rng)


def test_sigmoid_of_extremes() -> None:
    x = Tensor(np.array([-1e4, -40.0, 0.0, 40.0, 1e4], np.float32))
    np.testing.assert_allclose(ops.sigmoid(x).data, [0, np.exp(-40), 0.5, 1, 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "hw"),
    [
        ((3, 3), 2, 0, (7, 9)),
        ((3, 3), 2, 0, (8, 7)),
        ((2, 4), 1, 1, (5, 6)),
        ((1, 1), 3, 0, (5, 5)),
    ],
)
def test_convolution_and_its_transpose(kernel, stride, pad, hw, rng: np.random.Generator) -> None:
    ci, co = 3, 2
    x = random_tensor(rng, 2, *hw, ci)
    w = random_tensor(rng, *kernel, ci, co)
    assert_gradients(lambda x, w: ops.conv2d(x, w, stride, pad), [x, w], rng)
    small = random_tensor(rng, 2, *hw, co)
    assert_gradients(lambda x, w: ops.conv_transpose2d(x, w, stride, pad), [small, w], rng)


def test_transposed_convolution_scatters_the_kernel() -> None:
    x = Tensor(np.array([1.0, 10.0]).reshape(1, 1, 2, 1))
    w = Tensor(np.arange(1.0, 10).reshape(3, 3, 1, 1))
    expected = [[1, 2, 3 + 10, 20, 30], [4, 5, 6 + 40, 50, 60], [7, 8, 9 + 70, 80, 90]]
    np.testing.assert_array_equal(ops.conv_transpose2d(x, w, stride=2).data[0, :, :, 0], expected)


def test_batch_norm(rng: np.random.Generator) -> None:
    x, gamma, beta = random_tensor(rng, 2, 3, 5, 4), random_tensor(rng, 4), random_tensor(rng, 4)
    y = ops.batch_norm(x, gamma, beta, eps=1e-5).data
    mean, var = x.data.mean((0, 1, 2)), x.data.var((0, 1, 2))
    expected = gamma.data * (x.data - mean) / np.sqrt(var + 1e-5) + beta.data
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    assert_gradients(lambda x, g, b: ops.batch_norm(x, g, b), [x, gamma, beta], rng)
    constant = rng.normal(size=4), rng.uniform(0.5, 2, 4)
    assert_gradients(lambda x, g, b: ops.BatchNorm(1e-5, constant)(x, g, b), [x, gamma, beta], rng)


@pytest.mark.parametrize("transpose", [False, True], ids=["conv", "transposed"])
@pytest.mark.parametrize("constant", [False, True], ids=["batch", "running"])
def test_fused_block_equals_the_three_operations(
    transpose: bool, constant: bool, rng: np.random.Generator
) -> None:
    n, h, w, ci, co = 3, 9, 11, 4, 5
    x = random_tensor(rng, n, h, w, ci)
    weights = random_tensor(rng, 3, 3, *((co, ci) if transpose else (ci, co)))
    gamma, beta = random_tensor(rng, co), random_tensor(rng, co)
    moments = (rng.normal(size=co), rng.uniform(0.5, 2, co)) if constant else None
    inputs = [x, weights, gamma, beta]

    def fused(*inputs: Tensor) -> Tensor:
        return ops.ConvNormReLU(1e-5, 2, 0, transpose, moments)(*inputs)

    def plain(x: Tensor, w: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        y = (ops.conv_transpose2d if transpose else ops.conv2d)(x, w, 2)
        return ops.relu(ops.BatchNorm(1e-5, moments)(y, gamma, beta))

    gy = rng.standard_normal(plain(*inputs).shape)
    results = []
    for function in (fused, plain):
        for tensor in inputs:
            tensor.grad = None
        y = function(*inputs)
        y.backward(gy)
        results.append([y.data, *(tensor.grad for tensor in inputs)])
    for name, ours, theirs in zip(["y", "gx", "gw", "ggamma", "gbeta"], *results, strict=True):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * scale, err_msg=name)
    assert_gradients(fused, inputs, rng)


@pytest.mark.parametrize(("size", "stride", "hw"), [(2, 2, (6, 8)), (2, 2, (7, 5)), (3, 2, (7, 8))])
def test_max_pooling(size: int, stride: int, hw, rng: np.random.Generator) -> None:
    # Distinct values, further apart than the step of the differences.
    data = rng.permutation(2 * hw[0] * hw[1] * 3).astype(float).reshape(2, *hw, 3)
    x = Tensor(data, requires_grad=True)
    assert_gradients(lambda x: ops.max_pool2d(x, size, stride), [x], rng)


def test_shapes_that_do_not_fit_are_named(rng: np.random.Generator) -> None:
    x, w = random_tensor(rng, 1, 5, 5, 3), random_tensor(rng, 3, 3, 4, 2)
    with pytest.raises(ValueError, match=r"\(n, h, w, 4\).*\(1, 5, 5, 3\)"):
        ops.conv2d(x, w)
    with pytest.raises(ValueError, match=r"height 3.*height 2"):
        ops.conv2d(random_tensor(rng, 1, 2, 9, 4), w)
