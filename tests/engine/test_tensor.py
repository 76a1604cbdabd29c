"""The tape: order, sums of gradients, freeing, and one's own functions."""

import gc
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from threading import Timer

import numpy as np
import pytest

from minispiral import ops
from minispiral.tensor import Function, Tensor, no_grad


def leaf(*values: float) -> Tensor:
    return Tensor(np.array(values), requires_grad=True)


def test_gradients_of_a_reused_tensor_are_summed() -> None:
    x = leaf(3.0)
    y = x * x + x * 2.0 - x
    y.backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad, [2 * 3 + 2 - 1])


def test_diamond_is_visited_in_order() -> None:
    x = leaf(1.5)
    a = x * x
    b = a * a  # reaches a by two ways of different length
    c = a + b * a
    c.backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad, [2 * 1.5 + 6 * 1.5**5])


def test_long_chain_needs_no_recursion() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(5000):
        y = y + 1.0
    y.backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad, [1.0])


def test_gradients_accumulate_over_backward_calls_without_aliasing() -> None:
    x = leaf(2.0, 3.0)
    ops.sum(x * x).backward()
    first = x.grad
    assert first is not None
    kept = first.copy()
    ops.sum(x * x).backward()
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_allclose(x.grad, 2 * kept)


def test_no_gradient_shares_memory_with_another_array() -> None:
    a, b, c, d = (leaf(*np.random.default_rng().random(4)) for _ in range(4))
    gy = np.ones((1, 4))
    y = ops.reshape(a + b, (1, 4)) + (c - d)
    (y + a + a).backward(gy)
    arrays = [gy, *(x.data for x in (a, b, c, d)), *(x.grad for x in (a, b, c, d))]
    for i, one in enumerate(arrays):
        for other in arrays[i + 1 :]:
            assert not np.shares_memory(one, other)


def test_second_backward_says_the_tape_is_freed() -> None:
    x = leaf(2.0)
    y = x * x
    y.backward()
    with pytest.raises(RuntimeError, match="forward pass again"):
        y.backward()


def test_backward_frees_what_it_consumed() -> None:
    x = leaf(*np.ones(10))
    hidden = x * 2.0
    alive = weakref.ref(hidden.data)
    y = ops.sum(hidden * hidden)
    del hidden
    assert alive() is not None
    gc.disable()
    try:
        y.backward()
        assert alive() is None  # by reference counting alone
    finally:
        gc.enable()


def test_no_grad_records_nothing() -> None:
    x = leaf(2.0)
    with no_grad():
        y = x * x
    assert y.creator is None
    assert not y.requires_grad
    with pytest.raises(RuntimeError, match="requires a gradient"):
        y.backward()


def test_backward_needs_a_single_value_or_gy() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"shape \(2,\)"):
        (x * x).backward()
    (x * x).backward([1.0, 10.0])
    np.testing.assert_allclose(x.grad, [2.0, 40.0])
    with pytest.raises(RuntimeError, match=r"shape \(3,\)"):
        (x * x).backward([1.0, 2.0, 3.0])


def test_own_function_may_have_a_pseudo_gradient() -> None:
    class StraightThrough(Function):
        """Rounds forward, hands the gradient through backward."""

        exact = False

        def forward(self, x):
            return np.round(x)

        def backward(self, gy):
            return gy

    x = leaf(0.4, 1.6)
    y = StraightThrough()(x)
    np.testing.assert_array_equal(y.data, [0.0, 2.0])
    y.backward([3.0, 5.0])
    np.testing.assert_array_equal(x.grad, [3.0, 5.0])


def test_a_function_on_a_tape_is_not_called_again() -> None:
    x = leaf(2.0)
    total = ops.Sum()
    with no_grad():
        total(x)
    y = total(x)  # nothing was recorded before
    with pytest.raises(RuntimeError, match="new one for every call"):
        total(x * x)
    y.backward()
    np.testing.assert_array_equal(x.grad, [1.0])
    with pytest.raises(RuntimeError, match="new one for every call"):
        total(x)


def test_wrong_gradient_shape_is_named() -> None:
    class Wrong(Function):
        def forward(self, x):
            return x * 2

        def backward(self, gy):
            return gy[:1]

    with pytest.raises(RuntimeError, match=r"Wrong.*\(1,\).*input 0.*\(2,\)"):
        Wrong()(leaf(1.0, 2.0)).backward([1.0, 1.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_never_promoted(dtype: type) -> None:
    x = Tensor(np.ones((2, 3), dtype), requires_grad=True)
    y = ops.mean(2 * x / 3.0 - np.ones(3) + 1 / (x + 1))
    assert y.dtype == dtype
    y.backward()
    assert x.grad is not None
    assert x.grad.dtype == dtype


class Late(Function):
    """Doubles; its gradient comes from another thread when the test lets it."""

    def __init__(self, promise: "Future[np.ndarray]") -> None:
        self.promise = promise

    def forward(self, x: np.ndarray) -> np.ndarray:
        return 2 * x

    def backward(self, gy: np.ndarray) -> Callable[[], np.ndarray]:
        return self.promise.result


def test_a_gradient_may_come_later() -> None:
    """Of a leaf, of a result, and of one that other gradients are added to."""
    promises: list[Future[np.ndarray]] = [Future() for _ in range(3)]
    x = leaf(1.0, 2.0)
    inner = x * 3.0
    y = ops.sum(Late(promises[0])(x) + Late(promises[1])(inner) + Late(promises[2])(inner) + inner)
    values = [np.array([10.0, 20.0]), np.array([1.0, 2.0]), np.array([5.0, 7.0])]
    timer = Timer(0.2, lambda: [p.set_result(v) for p, v in zip(promises, values, strict=True)])
    timer.start()
    y.backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad, values[0] + 3 * (values[1] + values[2] + 1))


def test_the_error_of_a_late_gradient_is_raised_and_no_gradient_is_kept() -> None:
    promise: Future[np.ndarray] = Future()
    promise.set_exception(ArithmeticError("too late"))
    x, other = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = ops.sum(Late(promise)(x) * other)
    with pytest.raises(ArithmeticError, match="too late"):
        y.backward()
    assert x.grad is None
