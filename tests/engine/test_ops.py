"""What the gradient checks of the operations leave open: numbers, extremes, the fused block."""

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minispiral import ops
from minispiral.gradcheck import gradcheck
from minispiral.kernels.cpu import parallel
from minispiral.tensor import Tensor


def random_tensor(rng: np.random.Generator, *shape: int, low: float = 0.2) -> Tensor:
    """Numbers of either sign, none nearer to zero than ``low``: no kink is met by accident."""
    data = rng.uniform(low, 2, shape) * rng.choice([-1.0, 1.0], shape)
    return Tensor(data, requires_grad=True)


def test_arithmetic_with_numbers_on_either_side(rng: np.random.Generator) -> None:
    def function(x: Any) -> Any:
        return (2.0 - x) * 3.0 + 1.0 / x - (-x) / 2.0

    report = gradcheck(function, [random_tensor(rng, 5)], oracle=function)
    assert report.passed, report


def test_sigmoid_of_extremes() -> None:
    x = Tensor(np.array([-1e4, -40.0, 0.0, 40.0, 1e4], np.float32))
    np.testing.assert_allclose(ops.sigmoid(x).data, [0, np.exp(-40), 0.5, 1, 1], rtol=1e-6)


def test_transposed_convolution_scatters_the_kernel() -> None:
    x = Tensor(np.array([1.0, 10.0]).reshape(1, 1, 2, 1))
    w = Tensor(np.arange(1.0, 10).reshape(3, 3, 1, 1))
    expected = [[1, 2, 3 + 10, 20, 30], [4, 5, 6 + 40, 50, 60], [7, 8, 9 + 70, 80, 90]]
    np.testing.assert_array_equal(ops.conv_transpose2d(x, w, stride=2).data[0, :, :, 0], expected)


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


def test_of_two_blocks_in_a_row_the_image_between_is_made_again(rng: np.random.Generator) -> None:
    x = random_tensor(rng, 2, 9, 11, 3)
    weights = [random_tensor(rng, 3, 3, 3, 4), random_tensor(rng, 3, 3, 6, 4)]
    vectors = [random_tensor(rng, c) for c in (4, 4, 6, 6)]
    inputs = [x, *weights, *vectors]

    def fused(between: list[Any]) -> Tensor:
        y = ops.ConvNormReLU(1e-5, 2)(x, weights[0], *vectors[:2])
        between.append(weakref.ref(y.data))
        return ops.ConvNormReLU(1e-5, 2, 0, True)(y, weights[1], *vectors[2:])

    def plain() -> Tensor:
        y = ops.relu(ops.batch_norm(ops.conv2d(x, weights[0], 2), *vectors[:2]))
        return ops.relu(ops.batch_norm(ops.conv_transpose2d(y, weights[1], 2), *vectors[2:]))

    between: list[Any] = []
    y, expected = fused(between), plain()
    assert between[0]() is None
    gy = rng.standard_normal(y.shape)
    results = []
    for output in (y, expected):
        output.backward(gy)
        results.append([output.data, *(tensor.grad for tensor in inputs)])
        for tensor in inputs:
            tensor.grad = None
    for i, (ours, theirs) in enumerate(zip(*results, strict=True)):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-11 * scale, err_msg=str(i))


def test_a_block_whose_tape_is_freed_makes_nothing_again(rng: np.random.Generator) -> None:
    def block(x: Tensor) -> Tensor:
        w, gamma, beta = (
            random_tensor(rng, 1, 1, 3, 3),
            random_tensor(rng, 3),
            random_tensor(rng, 3),
        )
        return ops.ConvNormReLU(1e-5)(x, w, gamma, beta)

    trunk = block(random_tensor(rng, 2, 4, 4, 3))
    one, other = ops.sum(block(trunk)), ops.sum(block(trunk))
    one.backward()
    with pytest.raises(RuntimeError, match=r"ConvNormReLU a second time.*forward pass again"):
        other.backward()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("convolve", [ops.conv2d, ops.conv_transpose2d])
def test_weights_that_are_themselves_computed_get_their_gradient(
    rng: np.random.Generator, convolve: Callable[..., Tensor], threads: int
) -> None:
    """Other functions wait for it then, though it is computed beside them."""

    def function(x: Tensor, w: Tensor) -> Tensor:
        twice = w * 2.0
        return convolve(convolve(x, twice, 2), twice, 2)

    parallel.set_threads(threads)
    try:
        report = gradcheck(
            function, [random_tensor(rng, 2, 9, 11, 3), random_tensor(rng, 3, 3, 3, 3)]
        )
    finally:
        parallel.set_threads(None)
    assert report.passed, report


def test_shapes_that_do_not_fit_are_named(rng: np.random.Generator) -> None:
    x, w = random_tensor(rng, 1, 5, 5, 3), random_tensor(rng, 3, 3, 4, 2)
    with pytest.raises(ValueError, match=r"\(n, h, w, 4\).*\(1, 5, 5, 3\)"):
        ops.conv2d(x, w)
    with pytest.raises(ValueError, match=r"height 3.*height 2"):
        ops.conv2d(random_tensor(rng, 1, 2, 9, 4), w)
