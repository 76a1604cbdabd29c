"""A case: a call of one of the kernels' functions on random numbers, on the GPU and on the CPU."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Array = NDArray[Any]


class Call(NamedTuple):
    """A function and its arguments, whose arrays are put on the device that is to compute it.

    For a function that changes its arguments, ``changed`` are the positions of its results.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    changed: tuple[int, ...] = ()


class Case(NamedTuple):
    """A call that is completed by random numbers."""

    name: str
    precision: str  # "float32", "tf32" or "float64"
    make: Callable[[Rng], Call]
    group: str  # of cases whose kernels are compiled together

    def call(self, seed: int, round: int = 0) -> Call:
        """Of the same numbers for the same seed, whichever other cases there are."""
        name = f"{self.name} {self.precision}".encode()
        return self.make(np.random.default_rng([seed, round, *name]))


def normal(rng: Rng, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return rng.standard_normal(shape).astype(dtype)


def image(rng: Rng, dtype: np.dtype[Any], c: int | None = None) -> Array:
    """An image of random sides whose mean is not zero."""
    n, h, w = rng.integers(2, (4, 40, 30))
    shifted: Array = normal(rng, (n, h, w, c or int(rng.integers(1, 70))), dtype) + dtype.type(0.5)
    return shifted
