"""For tests of properties: random input, and operations as functions of arrays."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.tensor import Tensor

ROUNDING = 1e-13

shapes = st.tuples(*(st.integers(1, n) for n in (3, 7, 7, 4)))
batches = shapes.filter(lambda shape: np.prod(shape[:3]) > 1)  # as batch norm needs


def for_any(**strategies):
    """The test holds for any of these, and for a generator of random numbers, ``rng``."""
    rng = st.builds(np.random.default_rng, st.integers(0, 2**32))
    several = settings(max_examples=60, deadline=None)
    return lambda test: several(given(rng=rng, **strategies)(test))


def integers(rng, shape, most=9):
    """Whole numbers as floats: their sums have no rounding."""
    return rng.integers(-most, most, shape, endpoint=True).astype(float)


def values(function, *arrays, **options):
    return function(*map(Tensor, arrays), **options).data


def run(function, *arrays, **options):
    """The output, a ``gy``, the same for each output of that shape, and the gradients."""
    xs = [Tensor(a, requires_grad=True) for a in arrays]
    y = function(*xs, **options)
    gy = np.random.default_rng(y.data.size).standard_normal(y.shape)
    y.backward(gy)
    return y.data, gy, [x.grad for x in xs]


def assert_close(a, b, scale=1.0):
    """They differ by a few hundred roundings of ``scale`` at most."""
    assert np.shape(a) == np.shape(b)
    np.testing.assert_allclose(a, b, rtol=0, atol=ROUNDING * scale)
