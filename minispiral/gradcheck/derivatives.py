"""Derivatives along a direction without back-propagation: the complex step and differences.

Both take a function of several arrays, a point ``x`` and a direction ``v``, one array for each
argument, and ``gy``, which weighs the outputs. They return the derivative of
``t -> sum(gy * f(x + t v))`` at 0, the number that back-propagation gives as ``sum(v * gx)``.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
ArrayFunction = Callable[[Sequence[Array]], Array]

COMPLEX_STEP = 1e-40
FIRST_STEP = 2.0**-9  # of a central difference, for a direction whose entries are about 1
SHORTER = 2.0**-4  # where a kink was met the steps are cut by this,
SHORTENINGS = 4  # and so many times


class NotAnalytic(Exception):
    """The function does not take complex numbers, or does not continue to them."""


class AtKink(Exception):
    """The point lies at a kink, or so near that no step is short enough; ``kinks`` were met."""

    def __init__(self, kinks: int) -> None:
        super().__init__("the point lies at a kink of the function")
        self.kinks = kinks


def complex_step(
    f: ArrayFunction, x: Sequence[Array], v: Sequence[Array], gy: Array, y: Array
) -> float:
    """``imag(f(x + i h v)) / h`` with ``h = 1e-40``: nothing is subtracted, nothing cancels.

    By Cauchy-Riemann the error is of the order of ``h**2``, so only rounding is left (Squire and
    Trapp 1998). Steps do not cross kinks, for the real part stands still. ``y`` is ``f(x)``.
    Raises `NotAnalytic` where ``f`` refuses complex numbers or makes other values of them.
    """
    try:
        moved = f([a + 1j * COMPLEX_STEP * b for a, b in zip(x, v, strict=True)])
    except (TypeError, ValueError) as error:
        raise NotAnalytic(str(error)) from error
    if not np.iscomplexobj(moved):
        raise NotAnalytic("the result is real")
    if not np.allclose(moved.real, y, rtol=1e-9, atol=1e-9 * _largest(y)):
        raise NotAnalytic("the values for complex numbers are others")
    return float(np.sum(gy * (moved.imag / COMPLEX_STEP)))


def central_difference(
    f: ArrayFunction,
    x: Sequence[Array],
    v: Sequence[Array],
    gy: Array,
    y: Array,
    accuracy: float,
) -> tuple[float, int]:
    """The derivative from differences, and how many kinks were stepped around.

    ``D(h) = sum(gy * (f(x + h v) - f(x - h v))) / 2h`` is off by ``h**2``, which
    ``(4 D(h/2) - D(h)) / 3`` takes away (Richardson). Two such values, from steps ``h, h/2, h/4``,
    agree to ``accuracy`` where the function is smooth. Where they do not, or where the slopes
    to the left and to the right differ however short the step, a kink of a ReLU or a maximum lies
    within the steps: they are cut until it lies outside. ``y`` is ``f(x)``. Raises `AtKink` where
    that does not help.
    """

    def values(h: float) -> tuple[float, float]:
        """``D(h)``, and how far the slopes on either side are apart."""
        ahead = f([a + h * b for a, b in zip(x, v, strict=True)])
        behind = f([a - h * b for a, b in zip(x, v, strict=True)])
        slope = np.sum(gy * (ahead - behind)) / (2 * h)
        return float(slope), abs(float(np.sum(gy * ((ahead - y) - (y - behind))))) / h

    h = FIRST_STEP
    for kinks in range(SHORTENINGS + 1):
        (coarse, bend), (middle, _), (fine, finer_bend) = (values(h / k) for k in (1, 2, 4))
        estimate, finer = (4 * middle - coarse) / 3, (4 * fine - middle) / 3
        smooth = finer_bend <= max(bend / 2, accuracy)  # a quarter, were it a parabola
        if smooth and abs(finer - estimate) <= accuracy:
            return finer, kinks
        h *= SHORTER
    raise AtKink(SHORTENINGS + 1)


def _largest(y: Array) -> float:
    return float(np.max(np.abs(y), initial=0.0))
