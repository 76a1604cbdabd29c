"""Cases of every operation and every loss, each with an oracle for its values."""

import operator
from collections.abc import Callable, Iterator
from dataclasses import astuple
from functools import partial
from typing import Any

import numpy as np

from minispiral import fused, ops
from minispiral.gradcheck.check import (
    AROUND_KINKS,
    Arguments,
    Array,
    Check,
    Generator,
    OwnRules,
    numbers,
)
from minispiral.kernels import loss_table, reference
from minispiral.kernels.arrays import like
from minispiral.losses import LOSSES
from minispiral.nn import BatchNorm
from minispiral.ops import Vectors
from minispiral.tensor import Tensor

EPS = BatchNorm.eps


def operations() -> Iterator[Check]:
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((3, 4), (3, 4)),
        ((2, 3, 4), (3, 1)),
        ((1, 4), (5, 1)),
        ((3,), ()),
    ]
    for name, function in {
        "add": operator.add,
        "subtract": operator.sub,
        "multiply": operator.mul,
        "divide": operator.truediv,
    }.items():
        for a, b in shapes:
            yield Check(f"{name} {a} {b}", partial(_arithmetic, function, a, b))
    yield Check("negate", partial(_elementwise, operator.neg, operator.neg))
    for exponent in (-1.5, 0, 1, 2, 3):
        power = partial(_power, exponent)
        yield Check(f"power {exponent}", partial(_elementwise, power, power, positive=True))
    for a, b in (((3, 4), (4, 2)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (5, 4, 1))):
        yield Check(f"matmul {a} {b}", partial(_arithmetic, operator.matmul, a, b))
    for index in (1, slice(None, None, -2), (..., 0), ([0, 2, 0], slice(1, 3)), None):
        yield Check(f"index {index}", partial(_index, index))
    yield Check("sigmoid", partial(_elementwise, ops.sigmoid, reference.sigmoid))
    yield Check("log", partial(_elementwise, ops.log, np.log, positive=True))
    yield Check("relu", _relu)
    for axis in (None, 0, (0, 2), -1):
        yield Check(f"sum over {axis}", partial(_reduction, ops.sum, np.sum, axis))
        yield Check(f"mean over {axis}", partial(_reduction, ops.mean, np.mean, axis))
    yield Check("reshape", _reshape)
    for axis in (-1, 1):
        yield Check(f"concatenate along {axis}", partial(_concatenate, axis))
    for hw in ((4, 3), (1, 1)):
        yield Check(f"edge_pad {hw[0]}x{hw[1]}", partial(_edge_pad, hw))
    yield Check("crop", _crop)
    for kernel_hw, stride, pad, hw in (
        ((3, 3), 2, 0, (7, 9)),
        ((3, 3), 2, 0, (8, 7)),  # with a remainder
        ((2, 4), 1, 1, (5, 6)),
        ((3, 2), 3, 1, (7, 6)),
        ((1, 1), 2, 0, (5, 6)),  # pixels that no tap reaches
    ):
        kh, kw = kernel_hw
        case = f"{kh}x{kw}, stride {stride}, pad {pad}, {hw[0]}x{hw[1]}"
        for name, transpose in (("conv2d", False), ("conv_transpose2d", True)):
            yield Check(
                f"{name} {case}", partial(_convolution, transpose, kernel_hw, stride, pad, hw)
            )
    for constant in (False, True):
        moments = "given moments" if constant else "own moments"
        yield Check(f"batch_norm, {moments}", partial(_batch_norm, constant))
        for transpose in (False, True):
            kind = " transposed" if transpose else ""
            yield Check(
                f"conv_norm_relu{kind}, {moments}", partial(_conv_norm_relu, transpose, constant)
            )
    for size, stride, hw in ((2, 2, (6, 8)), (2, 2, (7, 5)), (3, 2, (7, 8)), (2, 3, (8, 7))):
        case = f"{size}x{size}, stride {stride}, {hw[0]}x{hw[1]}"
        yield Check(f"max_pool2d {case}", partial(_max_pool, size, stride, hw))


def _arithmetic(
    function: Callable[[Any, Any], Any], a: tuple[int, ...], b: tuple[int, ...], rng: Generator
) -> Arguments:
    inputs = {"a": numbers(rng, *a), "b": numbers(rng, *b)}
    return {"function": function, "inputs": inputs, "oracle": function}


def _elementwise(
    function: Callable[[Any], Tensor],
    oracle: Callable[[Array], Array],
    rng: Generator,
    positive: bool = False,
) -> Arguments:
    x = numbers(rng, 3, 7)
    return {"function": function, "inputs": {"x": abs(x) if positive else x}, "oracle": oracle}


def _power(exponent: float, x: Any) -> Any:
    return x**exponent


def _index(index: Any, rng: Generator) -> Arguments:
    return {
        "function": lambda x: x[index],
        "inputs": {"x": numbers(rng, 3, 5)},
        "oracle": lambda x: x[index],
    }


def _relu(rng: Generator) -> Arguments:
    return {
        "function": ops.relu,
        "inputs": {"x": rng.normal(0, 0.01, (3, 7))},  # near the kink, to have it stepped around
        "oracle": lambda x: np.where(x > 0, x, 0),
        "method": AROUND_KINKS,
    }


def _reduction(
    function: Callable[..., Tensor], oracle: Callable[..., Array], axis: Any, rng: Generator
) -> Arguments:
    keepdims = bool(rng.integers(2))
    return {
        "function": lambda x: function(x, axis, keepdims),
        "inputs": {"x": numbers(rng, 3, 4, 5)},
        "oracle": lambda x: oracle(x, axis=axis, keepdims=keepdims),
    }


def _reshape(rng: Generator) -> Arguments:
    return {
        "function": lambda x: ops.reshape(x, (3, 4, 1)),
        "inputs": {"x": numbers(rng, 2, 6)},
        "oracle": lambda x: np.reshape(x, (3, 4, 1)),
    }


def _concatenate(axis: int, rng: Generator) -> Arguments:
    shapes = [(2, 3, 4), (2, 3, 4), (2, 3, 4)]
    shapes[1] = (2, 3, 1) if axis == -1 else (2, 5, 4)
    return {
        "function": lambda a, b, c: ops.concatenate([a, b, c, a], axis),
        "inputs": dict(zip("abc", (numbers(rng, *shape) for shape in shapes), strict=True)),
        "oracle": lambda a, b, c: np.concatenate([a, b, c, a], axis),
    }


def _edge_pad(hw: tuple[int, int], rng: Generator) -> Arguments:
    def oracle(x: Array) -> Array:
        rows, columns = (np.clip(np.arange(-2, n + 3), 0, n - 1) for n in hw)
        return x[:, rows][:, :, columns]

    return {
        "function": lambda x: ops.edge_pad(x, 2, 3),
        "inputs": {"x": numbers(rng, 2, *hw, 3)},
        "oracle": oracle,
    }


def _crop(rng: Generator) -> Arguments:
    return {
        "function": lambda x: ops.crop(x, 1, (4, 2)),
        "inputs": {"x": numbers(rng, 2, 6, 5, 3)},
        "oracle": lambda x: x[:, 1:5, 1:3],
    }


def convolved(transpose: bool, stride: int, pad: int, x: Array, w: Array) -> Array:
    """By the plainest loops there are."""
    if not transpose:
        return np.asarray(reference.conv2d(x, w, stride, pad))
    out_hw = [
        stride * (n - 1) + k - 2 * pad for n, k in zip(x.shape[1:3], w.shape[:2], strict=True)
    ]
    return np.asarray(reference.conv2d_input_grad(x, w, out_hw, stride, pad))


def _convolution(
    transpose: bool,
    kernel_hw: tuple[int, int],
    stride: int,
    pad: int,
    hw: tuple[int, int],
    rng: Generator,
) -> Arguments:
    function = ops.conv_transpose2d if transpose else ops.conv2d
    big, small = 3, 2
    return {
        "function": lambda x, w: function(x, w, stride, pad),
        "inputs": {
            "x": numbers(rng, 2, *hw, small if transpose else big),
            "w": numbers(rng, *kernel_hw, big, small),
        },
        "oracle": partial(convolved, transpose, stride, pad),
    }


def normalized(x: Array, gamma: Array, beta: Array, moments: Vectors | None) -> Array:
    axes = tuple(range(x.ndim - 1))
    mean, var = (x.mean(axes), x.var(axes)) if moments is None else moments
    y: Array = gamma * (x - mean) / np.sqrt(var + EPS) + beta
    return y


def _placed(moments: Vectors | None, x: Tensor) -> Vectors | None:
    """The moments where ``x`` lies."""
    return None if moments is None else (like(moments[0], x.data), like(moments[1], x.data))


def _moments(constant: bool, c: int, rng: Generator) -> Vectors | None:
    return (rng.normal(size=c), rng.uniform(0.5, 2, c)) if constant else None


def _batch_norm(constant: bool, rng: Generator) -> Arguments:
    c = 4
    moments = _moments(constant, c, rng)
    inputs = {"x": numbers(rng, 2, 3, 5, c), "gamma": numbers(rng, c), "beta": numbers(rng, c)}
    return {
        "function": (
            lambda x, gamma, beta: (
                ops.BatchNorm(EPS, _placed(moments, x))(x, gamma, beta)
                if constant
                else ops.batch_norm(x, gamma, beta, EPS)
            )
        ),
        "inputs": inputs,
        "oracle": lambda x, gamma, beta: normalized(x, gamma, beta, moments),
    }


def _conv_norm_relu(transpose: bool, constant: bool, rng: Generator) -> Arguments:
    big, small, stride, pad = 3, 4, 2, 1
    co = big if transpose else small
    moments = _moments(constant, co, rng)

    def oracle(x: Array, w: Array, gamma: Array, beta: Array) -> Array:
        y = convolved(transpose, stride, pad, x, w)
        return np.maximum(normalized(y, gamma, beta, moments), 0)

    return {
        "function": lambda x, *weights: fused.ConvNormReLU(
            EPS, stride, pad, transpose, _placed(moments, x)
        )(x, *weights),
        "inputs": {
            "x": numbers(rng, 3, 7, 8, small if transpose else big),
            "w": numbers(rng, 3, 3, big, small),
            "gamma": numbers(rng, co),
            "beta": numbers(rng, co),
        },
        "oracle": oracle,
        "method": AROUND_KINKS,
    }


def _max_pool(size: int, stride: int, hw: tuple[int, int], rng: Generator) -> Arguments:
    return {
        "function": lambda x: ops.max_pool2d(x, size, stride),
        "inputs": {"x": numbers(rng, 2, *hw, 3)},
        "oracle": lambda x: reference.max_pool2d(x, size, stride)[0],
        "method": AROUND_KINKS,
    }


def losses() -> Iterator[Check]:
    for name in LOSSES:
        yield Check(name, partial(_loss, name))
    yield OwnRules("pseudo-f1 by its own rules", _eq_11)


def _loss(name: str, rng: Generator) -> Arguments:
    oracle = getattr(reference, name.replace("-", "_"))
    parameters = astuple(loss_table.LOSSES[name]())
    x = rng.normal(0, 3, (2, 7, 5, 1))
    mask = rng.random(x.shape) < 0.2
    mask[0, 0, 0] = True
    return {
        "function": lambda logits: LOSSES[name](logits, mask),
        "inputs": {"logits": x},
        "oracle": lambda logits: np.float64(oracle(logits, mask, *parameters)[0]),
    }


def _eq_11(rng: Generator) -> Arguments:
    return {"loss": LOSSES["pseudo-f1"]}
