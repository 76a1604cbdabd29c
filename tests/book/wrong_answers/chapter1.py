"""Typical wrong answers to the exercises of chapter 1.

Each docstring is a regular expression that the refusal must match.
"""

from typing import Any

import numpy as np

from minispiral.tensor import Function, Tensor
from tests.book.told import told


def wrong_1_1_first_use_only(w: float, x: float) -> tuple[float, float]:
    """y goes into both z and the loss"""
    y = w * x
    z = y * y + w
    return z * x + y, z * w


def wrong_1_1_square_once(w: float, x: float) -> tuple[float, float]:
    """y goes into y \\* y twice"""
    y = w * x
    z = y * y + w
    gy = z + y * y
    return gy * x + y, gy * w


def wrong_1_1_forgets_w_in_z(w: float, x: float) -> tuple[float, float]:
    """w also goes into z"""
    y = w * x
    gy = y * y + w + 2 * y * y
    return gy * x, gy * w


def wrong_1_1_one_number(w: float, x: float) -> float:
    """should return two numbers, but returned"""
    return w * x


def wrong_1_1_wrong_way_round(w: float, x: float) -> tuple[float, float]:
    """returns the gradient of x first"""
    return 3 * w**3 * x**2 + w**2, 3 * w**2 * x**3 + 2 * w * x


class _Softplus(Function):
    def forward(self, x: Any) -> Any:
        self.x = x
        return np.logaddexp(0, x)

    def backward(self, gy: Any) -> Any:
        return 1 / (1 + np.exp(-np.clip(self.x, -700, None)))


class _Overflowing(_Softplus):
    def forward(self, x: Any) -> Any:
        self.x = x
        return np.log(1 + np.exp(x))

    def backward(self, gy: Any) -> Any:
        return gy * super().backward(gy)


def wrong_1_2_without_gy(x: Tensor) -> Tensor:
    """forgets to multiply it by gy"""
    return _Softplus()(x)


def wrong_1_2_overflows(x: Tensor) -> Tensor:
    """1000.*inf, expected 1000"""
    return _Overflowing()(x)


def wrong_1_2_off_the_tape(x: Tensor) -> Tensor:
    """not on the tape"""
    return Tensor(np.logaddexp(0, x.data))


def wrong_1_2_an_array(x: Tensor) -> Any:
    """returned ndarray, expected a Tensor"""
    return np.logaddexp(0, x.data)


def wrong_1_3_leading_axes_only(g: Any, shape: tuple[int, ...]) -> Any:
    """\\(4, 1\\)\\) returned the shape \\(4, 3\\)"""
    return g.sum(tuple(range(g.ndim - len(shape))))


def wrong_1_3_takes_one_copy(g: Any, shape: tuple[int, ...]) -> Any:
    """is what arrived at one of the copies"""
    picked = g[(0,) * (g.ndim - len(shape))]
    return picked[tuple(slice(0, n) for n in shape)]


def wrong_1_3_drops_the_axis(g: Any, shape: tuple[int, ...]) -> Any:
    """returned the shape \\(4,\\), expected \\(4, 1\\)"""
    g = g.sum(tuple(range(g.ndim - len(shape))))
    return g.sum(tuple(i for i, n in enumerate(shape) if n == 1))


def _tried(w: float, x: float) -> tuple[float, float]:
    def loss(w: float, x: float) -> float:
        return ((w * x) ** 2 + w) * w * x

    h = 1e-5
    return (loss(w + h, x) - loss(w, x)) / h, (loss(w, x + h) - loss(w, x)) / h


def _y_and_gy(w: float, x: float) -> tuple[float, float]:
    y = w * x
    return y, 3 * y * y + w


wrong_1_1_by_differences = told("has only some digits, as by trying", _tried)
wrong_1_1_no_return = told("should return two numbers, but returned None", lambda w, x: None)


def wrong_1_1_w_without_x(w: float, x: float) -> tuple[float, float]:
    """its part is gy times x"""
    y, gy = _y_and_gy(w, x)
    return gy + y, gy * w


def wrong_1_1_stops_at_y(w: float, x: float) -> tuple[float, float]:
    """stops at y"""
    y, gy = _y_and_gy(w, x)
    return gy * x + y, gy


def wrong_1_1_own_operand(w: float, x: float) -> tuple[float, float]:
    """a product passes to x the other operand"""
    y, gy = _y_and_gy(w, x)
    return gy * x + y, gy * x


class _Backward(_Softplus):
    """The right values, with the gradient that is given."""

    def __init__(self, gradient: Any) -> None:
        self.gradient = gradient

    def backward(self, gy: Any) -> Any:
        return self.gradient(self.x, gy)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.clip(x, -700, None)))


wrong_1_2_second_derivative = told(
    "the derivative of the sigmoid",
    lambda x: _Backward(lambda x, gy: gy * _sigmoid(x) * (1 - _sigmoid(x)))(x),
)
wrong_1_2_value_for_slope = told(
    "is gy times softplus", lambda x: _Backward(lambda x, gy: gy * np.logaddexp(0, x))(x)
)
wrong_1_2_passes_gy = told("is gy as it came", lambda x: _Backward(lambda x, gy: gy)(x))
wrong_1_2_falling = told(
    "has the wrong sign", lambda x: _Backward(lambda x, gy: -gy * _sigmoid(x))(x)
)
wrong_1_2_slope_overflows = told(
    "not a number comes from inf - inf, inf / inf",
    lambda x: _Backward(lambda x, gy: gy * np.exp(x) / (1 + np.exp(x)))(x),
)


class _Float32(_Softplus):
    def forward(self, x: Any) -> Any:
        return super().forward(x.astype(np.float32)).astype(np.float64)


wrong_1_2_float32 = told("as in float32", lambda x: _Float32()(x))


def wrong_1_2_in_place(x: Tensor) -> Tensor:
    """was changed after _Backward used it"""
    y = _Backward(lambda x, gy: gy * _sigmoid(x))(x)
    x.data += 1
    return y


wrong_1_3_mean = told(
    "is what arrived at one of the copies|is the mean of what arrived at the copies",
    lambda g, shape: g.mean(tuple(range(g.ndim - len(shape)))).mean(
        tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True
    ),
)
wrong_1_3_reshaped = told("fails with ValueError", lambda g, shape: g.reshape(shape))
wrong_1_3_nothing = told("returned None, as a function without return", lambda g, shape: None)
wrong_1_3_everything = told("is the sum of all of g", lambda g, shape: np.full(shape, g.sum()))


def wrong_1_3_aligned_left(g: Any, shape: tuple[int, ...]) -> Any:
    """returned the shape \\(5,\\), expected \\(3,\\)"""
    while g.ndim > len(shape):
        g = g.sum(-1)
    return g.sum(tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)
