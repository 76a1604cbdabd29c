"""Central differences, the oracle of the gradient tests."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.tensor import Tensor

Array = NDArray[Any]


class AtKink(AssertionError):
    """The point is too near a kink for differences to say anything: draw another."""


def assert_gradients(
    function: Callable[..., Tensor],
    inputs: list[Tensor],
    rng: np.random.Generator,
    rtol: float = 1e-6,
    step: float = 1e-5,
    elements: int = 40,
) -> None:
    """Back-propagation through ``sum(gy * function(*inputs))`` agrees with central differences.

    Every input must be float64 and require a gradient. Up to ``elements`` entries of each are
    tried, drawn at random. The error is taken relative to the input's largest gradient or, where
    that is less, to a thousandth of the largest of all inputs: batch norm makes some gradients
    vanish but for rounding. The differences of two step sizes are extrapolated to none
    (Richardson), since batch norm bends sharply where a channel hardly varies. Where two such
    pairs disagree a kink of a ReLU lies within the steps: these entries are passed over. Raises
    `AtKink` where they are more than a quarter.
    """
    assert all(x.dtype == np.float64 for x in inputs)
    y = function(*inputs)
    gy = rng.standard_normal(y.shape)
    before = [x.data.copy() for x in inputs]
    for x in inputs:
        x.grad = None
    y.backward(gy.copy())

    def slope(x: Array, place: int, step: float) -> float:
        kept = x[place]
        values = []
        for moved in (kept + step, kept - step):
            x[place] = moved
            values.append(np.sum(gy * function(*inputs).data))
        x[place] = kept
        return float(values[0] - values[1]) / (2 * step)

    largest = max(np.abs(x.grad).max() for x in inputs if x.grad is not None)
    tried = kinks = 0
    for i, x in enumerate(inputs):
        np.testing.assert_array_equal(x.data, before[i], err_msg=f"input {i} was modified")
        assert x.grad is not None, f"input {i} got no gradient"
        assert x.grad.shape == x.shape
        assert x.grad.dtype == np.float64
        flat = x.data.reshape(-1)
        assert flat.base is not None, "the input must be contiguous to be perturbed in place"
        places = rng.permutation(x.data.size)[:elements]
        scale = max(np.abs(x.grad).max(), largest / 1000)
        for place in places:
            coarse, middle, fine = (slope(flat, place, step / k) for k in (1, 2, 4))
            numeric, finer = (4 * middle - coarse) / 3, (4 * fine - middle) / 3
            tried += 1
            if abs(numeric - finer) > rtol / 2 * scale:
                kinks += 1
                continue
            analytic = x.grad.flat[place]
            assert abs(analytic - numeric) <= rtol * scale, (
                f"input {i} at {np.unravel_index(place, x.shape)}: {analytic} by back-propagation, "
                f"{numeric} by differences, scale {scale}"
            )
    if kinks > tried / 4:
        raise AtKink(f"{kinks} of {tried} entries lie at a kink")
