"""The operators of ONNX on the operations of minispiral.

Each function takes the inputs of an operator in order, as tensors, and its attributes by name,
and gives its output or the tuple of its outputs. Whatever is computed here, an operation of
minispiral computes; NumPy only moves numbers, and inserts zeros. An attribute that is no
parameter is a TypeError, and what our operations cannot do raises `OutOfScope`, so that nothing
is overlooked.
"""

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from math import prod
from typing import Any

import numpy as np
from onnx.helper import tensor_dtype_to_np_dtype

from minispiral import ops
from minispiral.nn import BatchNorm, Parameter
from minispiral.optim import Adam
from minispiral.tensor import Tensor
from tests.engine.onnx_values import NotFloats, OutOfScope, value_of
from tests.engine.onnx_windows import conv, conv_transpose, max_pool

# An input of newer operators is an attribute of older ones.
Integers = Tensor | NotFloats | Sequence[int] | None


def integers(values: Integers) -> tuple[int, ...]:
    """Axes, sizes or places as plain numbers; none where none are given."""
    values = values.data.ravel() if isinstance(values, Tensor | NotFloats) else values
    return () if values is None else tuple(int(value) for value in values)


def batch_normalization(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    epsilon: float = 1e-5,
    is_test: int = 1,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> tuple[Tensor, ...]:
    """The running variance is biased in ONNX and unbiased here, a factor ``m / (m - 1)``."""
    m = x.data.size // x.shape[1]
    training = bool(training_mode or not is_test)
    unbiased = m / (m - 1) if training else 1
    layer = BatchNorm(x.shape[1]).astype(x.dtype)
    layer.eps, layer.momentum, layer.training = epsilon, 1 - momentum, training
    layer.load_state(
        {
            "gamma": gamma.data,
            "beta": beta.data,
            "running_mean": mean.data,
            "running_var": (var * unbiased).data,
        }
    )
    y = layer(Tensor(np.moveaxis(x.data, 1, -1)))
    running = Tensor(layer.running_mean), Tensor(layer.running_var) / unbiased
    return Tensor(np.moveaxis(y.data, -1, 1)), *running


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The rows of ``a (n, ci)`` as the pixels of one row, and ``b (ci, co)`` as a 1 x 1 kernel."""
    if a.data.ndim != 2 or b.data.ndim != 2:
        raise OutOfScope("products of vectors or of stacks of matrices")
    y = ops.conv2d(ops.reshape(a, (1, 1, *a.shape)), ops.reshape(b, (1, 1, *b.shape)))
    return ops.reshape(y, y.shape[2:])


def gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    broadcast: int = 1,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    y = matmul(transpose(a) if transA else a, transpose(b) if transB else b) * alpha
    return y if c is None else y + c * beta


def adam(
    rate: Tensor,
    count: Tensor,
    *tensors: Tensor,
    alpha: float = 0.9,
    beta: float = 0.999,
    epsilon: float = 1e-6,
    norm_coefficient: float = 0.0,
    norm_coefficient_post: float = 0.0,
) -> tuple[Tensor, ...]:
    """All parameters, gradients, first and second moments in; new parameters and moments out.

    In ONNX the correction for the start leaves epsilon alone, and a count of 0 asks for none:
    that is where ours arrives after many steps.
    """
    n = len(tensors) // 4
    xs, gs, ms, vs = (tensors[i : i + n] for i in range(0, 4 * n, n))
    parameters = {str(i): Parameter(x.data.copy()) for i, x in enumerate(xs)}
    for p, x, g in zip(parameters.values(), xs, gs, strict=True):
        p.grad = (g + x * norm_coefficient).data
    step = int(count.data) or 10**9
    eps = epsilon / (1 - beta**step) ** 0.5
    optimizer = Adam(parameters.items(), float(rate.data), alpha, beta, eps)
    optimizer.load_state(
        {"step": np.array(step - 1)}
        | {f"m.{i}": m.data for i, m in enumerate(ms)}
        | {f"v.{i}": v.data for i, v in enumerate(vs)}
    )
    optimizer.step()
    decayed = (p * (1 - norm_coefficient_post) for p in parameters.values())
    return *decayed, *map(Tensor, [*optimizer.m.values(), *optimizer.v.values()])


# Arithmetic and sums


def arithmetic(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def apply(a: Tensor, b: Tensor, *, broadcast: int = 1, axis: int | None = None) -> Tensor:
        if axis is not None:  # in older versions b may meet the axes of a from this one on
            b = ops.reshape(b, b.shape + (1,) * (a.data.ndim - axis - b.data.ndim))
        return function(a, b)

    return apply


def total(*xs: Tensor) -> Tensor:
    return reduce(operator.add, xs)


def mean(*xs: Tensor) -> Tensor:
    return total(*xs) / len(xs)


def reduction(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def apply(
        x: Tensor, axes: Integers = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> Tensor:
        over = integers(axes)
        return x if noop_with_empty_axes and not over else function(x, over or None, bool(keepdims))

    return apply


# Shapes


def concat(*xs: Tensor, axis: int = 1) -> Tensor:
    return ops.concatenate(xs, axis)


def reshape(x: Tensor, shape: Integers = None, *, allowzero: int = 0) -> Tensor:
    sizes = enumerate(integers(shape))
    return ops.reshape(x, tuple(n if n or allowzero else x.shape[i] for i, n in sizes))


def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    return ops.reshape(x, (prod(x.shape[:axis]), prod(x.shape[axis:])))


def squeeze(x: Tensor, axes: Integers = None) -> Tensor:
    return ops.reshape(x, np.squeeze(x.data, integers(axes) or None).shape)


def unsqueeze(x: Tensor, axes: Integers = None) -> Tensor:
    return ops.reshape(x, np.expand_dims(x.data, integers(axes)).shape)


# What only moves numbers


def transpose(x: Tensor, *, perm: Sequence[int] | None = None) -> Tensor:
    return value_of(x.data.transpose(perm))


def constant(**values: Any) -> Tensor:
    [(name, value)] = values.items()
    return value_of(np.asarray(value, np.float32 if name.startswith("value_float") else None))


def constant_of_shape(shape: Tensor, *, value: Any = np.float32(0)) -> Tensor:  # noqa: B008
    return value_of(np.full(integers(shape), value))


def cast(x: Tensor, *, to: int) -> Tensor:
    return value_of(x.data.astype(tensor_dtype_to_np_dtype(to)))


def cast_like(x: Tensor, like: Tensor) -> Tensor:
    return value_of(x.data.astype(like.dtype))


def identity(x: Tensor) -> Tensor:
    return x


def shape(x: Tensor, *, start: int = 0, end: int | None = None) -> Tensor:
    return value_of(np.array(x.shape[start:end], np.int64))


def cut(
    x: Tensor, starts: Tensor, ends: Tensor, axes: Integers = None, steps: Integers = None
) -> Tensor:
    places = list(zip(integers(starts), integers(ends), strict=True))
    index = [slice(None)] * x.data.ndim
    where = integers(axes) or range(len(places)), integers(steps) or [1] * len(places)
    for place, axis, step in zip(places, *where, strict=True):
        index[axis] = slice(*place, step)
    return value_of(x.data[tuple(index)])


def split(x: Tensor, parts: Tensor | None = None, *, axis: int = 0) -> tuple[Tensor, ...]:
    """Into two halves, or into parts of the given sizes."""
    borders = 2 if parts is None else np.cumsum(integers(parts))[:-1]
    return tuple(value_of(part) for part in np.split(x.data, borders, axis))


OPERATORS: dict[str, Callable[..., Any]] = {
    "Adam": adam,
    "Add": arithmetic(operator.add),
    "BatchNormalization": batch_normalization,
    "Concat": concat,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Div": arithmetic(operator.truediv),
    "Flatten": flatten,
    "Gemm": gemm,
    "Log": ops.log,
    "MatMul": matmul,
    "MaxPool": max_pool,
    "Mean": mean,
    "Mul": arithmetic(operator.mul),
    "Neg": operator.neg,
    "ReduceMean": reduction(ops.mean),
    "ReduceSum": reduction(ops.sum),
    "Relu": ops.relu,
    "Reshape": reshape,
    "Sigmoid": ops.sigmoid,
    "Squeeze": squeeze,
    "Sub": arithmetic(operator.sub),
    "Sum": total,
    "Unsqueeze": unsqueeze,
}
"""Each is an operation of minispiral, or several."""

PLUMBING: dict[str, Callable[..., Any]] = {
    "Cast": cast,
    "CastLike": cast_like,
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
    "Identity": identity,
    "Shape": shape,
    "Slice": cut,
    "Split": split,
    "Transpose": transpose,
}
"""What may stand between them."""
