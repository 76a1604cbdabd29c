"""Tensors take floats only, and operands that keep their values."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minispiral import ops
from minispiral.tensor import Tensor

X = Tensor(np.array([0.5, -2.0], np.float32), requires_grad=True)
WIDE = Tensor(np.array([0.5, -2.0]))


@pytest.mark.parametrize(
    "data",
    [
        [1, 2, 6],
        3,
        True,
        np.arange(3),
        np.array([250, 10], np.uint8),
        np.array([True, False]),
        np.array([1.5], np.float16),
        np.array([1.5], np.longdouble),
        np.array([1j], np.complex64),
        np.array(["a"]),
        np.array([None]),
        None,
        "text",
        np.datetime64("2020-01-01"),
        {"a": 1.0},
        np.array([(1.0, 2.0)], [("a", float), ("b", float)]),
    ],
    ids=repr,
)
def test_what_is_no_float_makes_no_tensor(data: Any) -> None:
    with pytest.raises(TypeError, match=r"float32, float64 or complex128.*astype\(np.float32\)"):
        Tensor(data)
    x = Tensor([1.0])
    with pytest.raises(TypeError, match="float32, float64 or complex128"):
        x.data = data


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_floats_are_taken_as_they_are(dtype: Any) -> None:
    array = np.array([1, 2, 6], dtype)
    x = Tensor(array)
    assert x.data is array
    assert ops.mean(x).data == dtype(3)
    assert (x * 0.5).dtype == dtype


@pytest.mark.parametrize("make", [lambda: Tensor(X), lambda: Tensor([X, X]), lambda: Tensor((X,))])
def test_a_tensor_of_tensors_is_refused(make: Callable[[], Tensor]) -> None:
    with pytest.raises(TypeError, match="concatenate"):
        make()


def test_gradients_are_for_real_numbers() -> None:
    with pytest.raises(TypeError, match="complex"):
        Tensor([1j], requires_grad=True)


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (lambda: X + None, "NoneType"),
        (lambda: X * "2", "2"),
        (lambda: X - 1j, "complex"),
        (lambda: X - np.complex128(1), "complex"),
        (lambda: X / [1.0, None], "list"),
        (lambda: X * 1e39, "1e+39 cannot be held by float32"),
        (lambda: X / 1e-46, "1e-46 cannot be held by float32"),
        (lambda: X + np.array([1.0, 1e-60]), "1e-60 cannot be held by float32"),
        (lambda: X + (2**24 + 1), "16777217 cannot be held by float32"),
        (lambda: X + np.array([3, 2**24 + 1]), "16777217 cannot be held by float32"),
        (lambda: WIDE + (2**53 + 1), "9007199254740993 cannot be held by float64"),
        (lambda: WIDE * 10**400, "int"),
        (lambda: X + WIDE, "float32 and float64"),
        (lambda: WIDE @ X, "float64 and float32"),
        (lambda: ops.concatenate([X, WIDE]), "float32.*float64"),
        (lambda: X**None, "NoneType"),  # type: ignore[operator]
        (lambda: X**X, "Tensor"),  # type: ignore[operator]
        (lambda: 2**X, "unsupported"),  # type: ignore[operator]
        (lambda: X.backward([1j, 1j]), "complex"),
        (lambda: X.backward(None if X.data.size == 1 else [None, None]), "list"),
    ],
)
def test_operands_that_would_lose_their_value_are_refused(
    operation: Callable[[], Any], message: str
) -> None:
    pattern = message if ".*" in message else re.escape(message)
    with pytest.raises((TypeError, ValueError), match=pattern):
        operation()


def test_operands_that_keep_their_value_take_the_dtype_of_the_tensor() -> None:
    for operand in (2, 2.5, True, np.float64(0.1), np.int64(7), np.array([1, 3]), np.uint8(200)):
        for y in (X + operand, operand * X, X / operand, operand - X):
            assert y.dtype == np.float32
    y = X * np.array([True, False])
    np.testing.assert_array_equal(y.data, [0.5, 0])
    np.testing.assert_array_equal((X + np.inf).data, [np.inf, np.inf])
    assert np.isnan((X + np.nan).data).all()


def test_numbers_of_a_tensor_as_python_and_numpy_have_them(rng: np.random.Generator) -> None:
    values = rng.standard_normal((4, 3))
    x = Tensor(values)
    one = Tensor(values[:1, :1])
    assert (len(x), float(one), one.item(), bool(one)) == (4, values[0, 0], values[0, 0], True)
    assert [row.shape for row in x] == [(3,)] * 4
    np.testing.assert_array_equal(np.asarray(x), values)
    np.testing.assert_array_equal(x > 0, values > 0)
    np.testing.assert_array_equal(values <= x, values <= values)
    np.testing.assert_array_equal(x == values, np.ones((4, 3), bool))
    np.testing.assert_array_equal(x != Tensor(values + 1), np.ones((4, 3), bool))
    assert len({x, one, x}) == 2
    for refused in (lambda: float(x), lambda: bool(x), lambda: x.item()):
        with pytest.raises(ValueError, match=r"one number.*\(4, 3\)"):
            refused()
    with pytest.raises(TypeError, match="no length"):
        len(ops.sum(x))


def test_numpy_gets_no_tensor_with_a_gradient_unasked() -> None:
    for function in (np.asarray, np.sum, np.mean, np.exp, lambda x: np.concatenate([x, x])):
        with pytest.raises(TypeError):
            function(X)
    y = X.detach()
    assert y.data is X.data
    assert not y.requires_grad
    assert (y * 2.0).creator is None
