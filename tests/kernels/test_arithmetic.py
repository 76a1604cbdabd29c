"""Elementwise functions against their definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from minispiral.kernels import arithmetic, reference

TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}
TINY = float(np.finfo(np.float32).tiny)  # below it float32 has fewer digits


@given(
    shape=array_shapes(max_dims=4),
    dtype=st.sampled_from([np.float64, np.float32]),
    spread=st.sampled_from([0.1, 3, 40]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=80, deadline=None)
def test_sigmoid_matches_the_loops(shape, dtype, spread, seed):
    x = (spread * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)
    y = arithmetic.sigmoid(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, reference.sigmoid(x), rtol=TOLERANCE[dtype], atol=TINY)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sigmoid_of_extremes_stays_finite(rng, dtype):
    x = rng.choice((-1e4, -100, 0, 100, 1e4), (2, 5, 7, 1)).astype(dtype)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        y = arithmetic.sigmoid(x)
    assert ((y >= 0) & (y <= 1)).all()


@pytest.mark.parametrize("shape", [(2, 3, 5, 1), (5, 255, 253, 1)])
def test_sigmoid_is_a_fresh_array(rng, shape):
    x = rng.standard_normal(shape).astype(np.float32)
    before = x.copy()
    y = arithmetic.sigmoid(x)
    kept = y.copy()
    again = arithmetic.sigmoid(-x)
    assert np.array_equal(x, before)
    assert np.array_equal(y, kept)
    assert not any(np.shares_memory(y, other) for other in (x, again))
