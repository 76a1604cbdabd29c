"""The CUDA kernels of Adam, on the CPU, against loops and against their NumPy twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.kernels import reference
from minispiral.kernels.adam import Update
from minispiral.kernels.cuda import launch
from tests.cuda_on_cpu import CpuDevice, in_both_orders, needs_compiler
from tests.kernels.test_adam import DEFAULTS, TOLERANCE, adam, assert_matches, both_dtypes, state

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]


def updated(p, g, m, v, *options):
    """p, m and v after an update, which works in place."""
    adam(p, g, m, v, *options)
    return p, m, v


@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple),
    dtype=st.sampled_from([np.float64, np.float32]),
    step=st.sampled_from([1, 2, 10, 1000, 10**6]),
    beta1=st.sampled_from([0.0, 0.5, 0.9]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=25, deadline=None)
def test_any_update_matches_the_loops(shape, dtype, step, beta1, seed):
    p, g, m, v = state(np.random.default_rng(seed), shape, dtype)
    result = in_both_orders(updated, p, g, m, v, step, 1e-2, beta1, 0.999, 1e-8)
    exact = [np.float64(a) for a in (p, m, v)]
    reference.adam(exact[0], g, exact[1], exact[2], step, 1e-2, beta1, 0.999, 1e-8)
    assert_matches(result, exact, dtype)


@both_dtypes
@pytest.mark.parametrize("reverse", [False, True])
def test_all_parameters_are_updated_in_one_launch(rng, dtype, reverse):
    """Of one element, of a block's share, of one more, of several blocks; and once more."""
    start = [state(rng, (size,), dtype) for size in (1, 4096, 4097, 3, 9001)]
    expected = [tuple(a.copy() for a in arrays) for arrays in start]
    host = Update(expected[0][0], *DEFAULTS)
    with launch.using(CpuDevice(reverse)) as device:
        arrays = [tuple(map(device.put, parameter)) for parameter in start]
        update = Update(arrays[0][0], *DEFAULTS)
        update.locate(*zip(*arrays, strict=True))
        for lr in (1e-2, 5e-3):
            update.lr[...] = device.put(np.array(lr))
            update.launch()
            host.lr[...] = lr
            host.locate(*zip(*expected, strict=True))
            host.launch()
    assert device.launched == ["count_step", "adam_scales", f"adam<{launch.ctype(dtype)}>"] * 2
    assert (int(update.step), host.step) == (2, 2)
    for found, wanted in zip(arrays, expected, strict=True):
        for array, value in zip(found, wanted, strict=True):
            tolerance = TOLERANCE[dtype]
            np.testing.assert_allclose(array.memory, value, rtol=tolerance, atol=tolerance)


def test_a_table_is_written_anew_for_arrays_of_the_same_sizes(rng):
    """A captured graph holds the table; the gradients are elsewhere after each backward pass."""
    with launch.using(CpuDevice()) as device:
        p, g, m, v = map(device.put, state(rng, (7,), np.float32))
        update = Update(p, *DEFAULTS)
        update.locate([p], [g], [m], [v])
        update.launch()  # so that the replay compiles nothing
        replay = device.record(update.launch)
        before, moved = device.get(m), device.put(np.ones(7, np.float32))
        update.locate([p], [moved], [m], [v])
        replay()
        np.testing.assert_allclose(device.get(m), 0.9 * before + 0.1, rtol=1e-6)
        update.locate([], [], [], [])
        update.launch()
        np.testing.assert_allclose(device.get(m), 0.9 * before + 0.1, rtol=1e-6)
    assert int(update.step) == 3


def test_arrays_that_do_not_fit_are_refused(rng):
    p, g, m, v = state(rng, (11, 13), np.float32)
    with launch.using(CpuDevice()) as device:
        arrays = [device.put(p)], [g], [device.put(m)], [device.put(v)]
        update = Update(*arrays[0], *DEFAULTS)
        with pytest.raises(ValueError, match="on the GPU"):
            update.locate(*arrays)
    with pytest.raises(ValueError, match="contiguous, on the GPU"):
        in_both_orders(lambda p, g, m, v: updated(p, g.T, m, v, 1, *DEFAULTS), p, g.T.copy(), m, v)
