"""Kinks, and functions of which no complex step tells the derivative."""

import numpy as np
import pytest

from minispiral import ops
from minispiral.gradcheck import gradcheck
from minispiral.tensor import Function
from tests.gradcheck.test_gradcheck import HalfWrong, rules


def test_kinks_are_stepped_around_and_counted(rng):
    # between the steps 2**-9 and 2**-13
    x = rng.choice([-1, 1], 20) * rng.uniform(1e-4, 1e-3, 20)
    report = gradcheck(ops.relu, [x], method="differences")
    assert report.passed, report
    assert report.kinks > 0
    smooth = gradcheck(ops.relu, [x + np.sign(x)], method="differences")
    assert smooth.passed
    assert smooth.kinks == 0


def test_a_point_at_a_kink_is_moved(rng):
    x = rng.standard_normal(20)
    x[3] = 0
    report = gradcheck(ops.relu, [x], method="differences")
    assert report.passed, report
    assert report.kinks > 0


def test_a_function_that_is_all_kink_is_not_passed():
    class Crease(Function):
        """max(x, 1.7 x at the point that is asked for): there is no way around."""

        def forward(self, x):
            self.slope = np.where(x > x.mean(), 1.7, 1.0)
            return np.abs(x - np.round(x * 2**20) / 2**20) * 2**8

        def backward(self, gy):
            return gy * self.slope

    report = gradcheck(lambda x: Crease()(x), [np.linspace(0.1, 1, 8)], method="differences")
    assert not report.passed


class Size(Function):
    """Real for complex numbers."""

    def forward(self, x):
        self.sign = np.sign(x)
        return np.abs(x)

    def backward(self, gy):
        return gy * self.sign


class Swirl(Function):
    """Complex for complex numbers, but without a derivative there."""

    def forward(self, x):
        self.size = np.abs(x)
        return x * self.size

    def backward(self, gy):
        return 2 * gy * self.size


@pytest.mark.parametrize("function", [Size, Swirl])
def test_a_function_that_is_not_analytic_is_checked_by_differences(function, rng):
    x = rng.uniform(0.5, 1, 6) * rng.choice([-1, 1], 6)
    report = gradcheck(lambda x: function()(x), [x])
    assert report.passed
    assert report.method == "differences"
    refused = gradcheck(lambda x: function()(x), [x], method="complex step")
    assert rules(refused) == {"analytic"}
    report = gradcheck(lambda x: function()(x) * HalfWrong()(x), [np.tile(x, (2, 1))])
    assert rules(report) == {"derivative"}


def test_a_complex_step_must_not_take_another_way(rng):
    """A function that is right for complex numbers alone does not pass by them."""

    class TwoFaced(Function):
        def forward(self, x):
            self.x = x
            return x**2 if np.iscomplexobj(x) else x**3

        def backward(self, gy):
            return 2 * self.x * gy

    assert not gradcheck(lambda x: TwoFaced()(x), [rng.uniform(1, 2, 5)]).passed
