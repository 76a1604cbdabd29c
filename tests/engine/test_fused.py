"""The fused block: equal to its three operations, its recomputed inputs, its late gradients."""

import weakref
from typing import Any

import numpy as np
import pytest

from minispiral import ops
from minispiral.fused import ConvNormReLU, conv_relu
from minispiral.gradcheck import gradcheck
from minispiral.kernels.cpu import parallel
from minispiral.tensor import Tensor
from tests.engine.test_ops import random_tensor


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
        return ConvNormReLU(1e-5, 2, 0, transpose, moments)(*inputs)

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
        y = ConvNormReLU(1e-5, 2)(x, weights[0], *vectors[:2])
        between.append(weakref.ref(y.data))
        return ConvNormReLU(1e-5, 2, 0, True)(y, weights[1], *vectors[2:])

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
        return ConvNormReLU(1e-5)(x, w, gamma, beta)

    trunk = block(random_tensor(rng, 2, 4, 4, 3))
    one, other = ops.sum(block(trunk)), ops.sum(block(trunk))
    one.backward()
    with pytest.raises(RuntimeError, match=r"ConvNormReLU a second time.*forward pass again"):
        other.backward()


def test_a_head_added_after_the_tape_was_freed_computes_but_has_no_gradient(
    rng: np.random.Generator,
) -> None:
    def block(x: Tensor) -> Tensor:
        parameters = random_tensor(rng, 1, 1, 3, 3), random_tensor(rng, 3), random_tensor(rng, 3)
        return ConvNormReLU(1e-5)(x, *parameters)

    trunk = block(random_tensor(rng, 2, 4, 4, 3))
    ops.sum(block(trunk)).backward()
    head = ops.sum(block(trunk))
    with pytest.raises(RuntimeError, match=r"ConvNormReLU a second time.*forward pass again"):
        head.backward()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("transpose", [False, True])
def test_a_function_that_needs_a_late_gradient_waits_for_it(
    rng: np.random.Generator, transpose: bool, threads: int
) -> None:
    """The weights are computed themselves here, so their gradient goes on along the tape."""

    def function(x: Tensor, w: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        twice = w * 2.0
        y = ConvNormReLU(1e-5, 2, 0, transpose)(x, twice, gamma, beta)
        return ConvNormReLU(1e-5, 1, 1, transpose)(y, twice, gamma, beta)

    inputs = [random_tensor(rng, *shape) for shape in ((2, 9, 11, 3), (3, 3, 3, 3), (3,), (3,))]
    parallel.set_threads(threads)
    try:
        report = gradcheck(function, inputs)
    finally:
        parallel.set_threads(None)
    assert report.passed, report


def test_convolution_with_bias_and_relu(rng: np.random.Generator) -> None:
    x, w, b = random_tensor(rng, 2, 7, 6, 3), random_tensor(rng, 3, 3, 3, 4), random_tensor(rng, 4)
    expected = ops.relu(ops.conv2d(x, w, 2, 1) + b)
    y = conv_relu(x, w, b, 2, 1)
    np.testing.assert_allclose(y.data, expected.data, rtol=0, atol=1e-13)
    gy = rng.standard_normal(y.shape)
    gradients = []
    for output in (y, expected):
        for tensor in (x, w, b):
            tensor.grad = None
        output.backward(gy)
        gradients.append([tensor.grad for tensor in (x, w, b)])
    for ours, plain in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, plain, rtol=0, atol=1e-12)
