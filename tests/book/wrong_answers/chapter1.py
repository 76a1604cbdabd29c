"""Typical wrong answers to the exercises of chapter 1.

Each docstring is a regular expression that the refusal must match.
"""

from typing import Any

import numpy as np

from minispiral.tensor import Function, Tensor


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
    """gradient of w, expected"""
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
    """np.ones.*\\[0\\] is 1, expected 5"""
    picked = g[(0,) * (g.ndim - len(shape))]
    return picked[tuple(slice(0, n) for n in shape)]


def wrong_1_3_drops_the_axis(g: Any, shape: tuple[int, ...]) -> Any:
    """returned the shape \\(4,\\), expected \\(4, 1\\)"""
    g = g.sum(tuple(range(g.ndim - len(shape))))
    return g.sum(tuple(i for i, n in enumerate(shape) if n == 1))
