"""What the gradient checks of the operations leave open: numbers, extremes, errors."""

from typing import Any

import numpy as np
import pytest

from minispiral import ops
from minispiral.gradcheck import gradcheck
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


def test_shapes_that_do_not_fit_are_named(rng: np.random.Generator) -> None:
    x, w = random_tensor(rng, 1, 5, 5, 3), random_tensor(rng, 3, 3, 4, 2)
    with pytest.raises(ValueError, match=r"\(n, h, w, 4\).*\(1, 5, 5, 3\)"):
        ops.conv2d(x, w)
    with pytest.raises(ValueError, match=r"height 3.*height 2"):
        ops.conv2d(random_tensor(rng, 1, 2, 9, 4), w)
