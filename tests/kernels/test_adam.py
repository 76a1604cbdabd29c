"""Adam against its definition, by hand and at the extremes."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.kernels import reference
from minispiral.kernels.adam import Update
from minispiral.kernels.cpu import parallel

DEFAULTS = (1e-4, 0.9, 0.999, 1e-8)
TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}

both_dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def adam(p, g, m, v, step, lr, beta1, beta2, eps):
    """Update number ``step`` of one parameter, like `reference.adam`."""
    update = Update(p, lr, beta1, beta2, eps)
    update.step += step - 1
    update.locate([p], [g], [m], [v])
    update.launch()


def state(rng, shape, dtype):
    """p, g, m, v with gradients from tiny to large."""
    scale = 10.0 ** rng.uniform(-6, 2, shape)
    g, m = (scale * rng.standard_normal(shape) for _ in range(2))
    v = (scale * rng.standard_normal(shape)) ** 2
    return tuple(a.astype(dtype) for a in (rng.standard_normal(shape), g, m, v))


def assert_matches(updated, expected, dtype):
    for array, wanted in zip(updated, expected, strict=True):
        assert array.dtype == dtype
        # m may cancel against the gradient: both are at most a few hundred.
        np.testing.assert_allclose(array, wanted, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple),
    dtype=st.sampled_from([np.float64, np.float32]),
    step=st.sampled_from([1, 2, 10, 1000, 10**6]),
    beta1=st.sampled_from([0.0, 0.5, 0.9]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=80, deadline=None)
def test_any_update_matches_the_loops(shape, dtype, step, beta1, seed):
    p, g, m, v = state(np.random.default_rng(seed), shape, dtype)
    expected = [np.float64(a) for a in (p, m, v)]
    options = (1e-2, beta1, 0.999, 1e-8)
    exact_p, exact_m, exact_v = (np.array(a) for a in expected)
    reference.adam(exact_p, g, exact_m, exact_v, step, *options)
    adam(p, g, m, v, step, *options)
    assert_matches((p, m, v), (exact_p, exact_m, exact_v), dtype)


@both_dtypes
def test_a_run_of_updates_from_zero_matches_the_loops(rng, dtype):
    """From p = 0 the steps themselves are compared, not their traces in a large p."""
    p, m, v = (np.zeros((5, 7), dtype) for _ in range(3))
    exact = [np.zeros((5, 7)) for _ in range(3)]
    for step in range(1, 31):
        g = (10.0 ** rng.uniform(-4, 4) * (1 + rng.random((5, 7)))).astype(dtype)
        adam(p, g, m, v, step, *DEFAULTS)
        reference.adam(exact[0], g, exact[1], exact[2], step, *DEFAULTS)
    for array, wanted in zip((p, m, v), exact, strict=True):
        np.testing.assert_allclose(array, wanted, rtol=3 * TOLERANCE[dtype])


@pytest.mark.parametrize("kernel", [reference.adam, adam])
def test_two_updates_worked_by_hand(kernel):
    """beta1 = beta2 = 1/2, rate 1, eps 0: m = 2 then 0, v = 8 then 6, corrected by 1/2 then 3/4."""
    p, m, v = np.array([10.0]), np.array([0.0]), np.array([0.0])
    kernel(p, np.array([4.0]), m, v, 1, 1.0, 0.5, 0.5, 0.0)
    assert (p.item(), m.item(), v.item()) == (9.0, 2.0, 8.0)  # 10 - 4 / sqrt(16)
    kernel(p, np.array([-2.0]), m, v, 2, 1.0, 0.5, 0.5, 0.0)
    assert (p.item(), m.item(), v.item()) == (9.0, 0.0, 6.0)
    kernel(p, np.array([12.0]), m, v, 3, 1.0, 0.5, 0.5, 0.0)
    assert (m.item(), v.item()) == (6.0, 75.0)
    assert p.item() == pytest.approx(9 - (6 / (7 / 8)) / (75 / (7 / 8)) ** 0.5, rel=1e-14)


@both_dtypes
def test_the_first_step_is_the_learning_rate_whatever_the_gradient(dtype):
    g = np.array([1e-4, -1e-2, 1.0, -1e4], dtype)
    p, m, v = (np.zeros(4, dtype) for _ in range(3))
    adam(p, g, m, v, 1, 1e-3, 0.9, 0.999, 1e-12)
    np.testing.assert_allclose(p, -1e-3 * np.sign(g), rtol=1e-5)


@both_dtypes
def test_where_the_gradient_is_zero_nothing_moves(dtype):
    p, g, m, v = np.ones(5, dtype), np.zeros(5, dtype), np.zeros(5, dtype), np.zeros(5, dtype)
    adam(p, g, m, v, 1, *DEFAULTS)
    assert (p == 1).all()
    assert not m.any()
    assert not v.any()


@both_dtypes
@pytest.mark.parametrize("shape", [(3, 3, 127, 251), (512 * 513 + 1,)])
def test_large_arrays_match_the_whole_array_formula(rng, shape, dtype):
    p, g, m, v = state(rng, shape, dtype)
    x, gradient, mean, square = (a.astype(np.float64) for a in (p, g, m, v))
    mean = 0.9 * mean + (1 - 0.9) * gradient
    square = 0.999 * square + (1 - 0.999) * gradient**2
    x -= 1e-2 * (mean / (1 - 0.9**3)) / (np.sqrt(square / (1 - 0.999**3)) + 1e-8)
    adam(p, g, m, v, 3, 1e-2, 0.9, 0.999, 1e-8)
    assert_matches((p, m, v), (x, mean, square), dtype)


def test_same_bits_for_any_number_of_threads(rng):
    start = state(rng, (3, 3, 127, 251), np.float32)
    runs = []
    try:
        for count in (1, 2, 3, 2):
            parallel.set_threads(count)
            p, g, m, v = (a.copy() for a in start)
            for step in (1, 2, 3):
                adam(p, g, m, v, step, *DEFAULTS)
            runs.append((p, m, v))
    finally:
        parallel.set_threads(None)
    for other in runs[1:]:
        assert all(map(np.array_equal, runs[0], other))


@pytest.mark.parametrize("shape", [(7,), (3, 3, 127, 251)])
def test_the_update_is_in_place_and_the_gradient_untouched(rng, shape):
    arrays = state(rng, shape, np.float32)
    places = [a.ctypes.data for a in arrays]
    before = [a.copy() for a in arrays]
    adam(*arrays, 1, 1e-1, 0.9, 0.999, 1e-8)
    changed = [not np.array_equal(a, b) for a, b in zip(arrays, before, strict=True)]
    assert changed == [True, False, True, True]
    assert [a.ctypes.data for a in arrays] == places


def test_a_gradient_that_is_a_view_counts_as_its_copy(rng):
    p, g, m, v = state(rng, (6, 8), np.float64)
    q, n, w = p.copy(), m.copy(), v.copy()
    view = np.asfortranarray(g)
    adam(p, view, m, v, 1, *DEFAULTS)
    adam(q, g, n, w, 1, *DEFAULTS)
    assert np.array_equal(p, q)
    assert np.array_equal(m, n)
    assert np.array_equal(v, w)


@pytest.mark.parametrize("misfit", range(4))
def test_shapes_that_differ_are_refused_by_name(misfit):
    arrays = [np.zeros((11, 13), np.float32) for _ in range(4)]
    arrays[misfit] = np.zeros((13, 17), np.float32)
    with pytest.raises(ValueError, match=r"\d") as refusal:
        adam(*arrays, 1, *DEFAULTS)
    assert {"11", "13", "17"} <= set(re.findall(r"\d+", str(refusal.value)))


@pytest.mark.parametrize("misfit", range(4))
def test_dtypes_that_differ_are_refused(misfit):
    arrays = [np.zeros((2, 3), np.float32) for _ in range(4)]
    arrays[misfit] = np.zeros((2, 3), np.float64)
    with pytest.raises(ValueError, match="float64"):
        adam(*arrays, 1, *DEFAULTS)


@pytest.mark.parametrize("step", [0, -1])
def test_a_step_before_the_first_is_refused(step):
    arrays = [np.zeros(3) for _ in range(4)]
    with pytest.raises(ValueError, match=str(step)):
        adam(*arrays, step, *DEFAULTS)
