"""The CUDA kernels of Adam, on the CPU, against loops and against their NumPy twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.kernels import reference
from minispiral.kernels.cpu.adam import adam as numpy_adam
from minispiral.kernels.cuda import adam as cuda
from minispiral.kernels.cuda import launch
from tests.cuda_on_cpu import CpuDevice, in_both_orders, needs_compiler
from tests.kernels.test_adam import DEFAULTS, TOLERANCE, assert_matches, both_dtypes, state

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]


def updated(p, g, m, v, step, lr, beta1, beta2, eps):
    """p, m and v after an update; the function itself works in place."""
    cuda.adam(p, g, m, v, step, lr, beta1, beta2, eps)
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
    scalars = np.array(step), np.array(1e-2)
    result = in_both_orders(updated, p, g, m, v, *scalars, beta1, 0.999, 1e-8)
    exact = [np.float64(a) for a in (p, m, v)]
    reference.adam(exact[0], g, exact[1], exact[2], step, 1e-2, beta1, 0.999, 1e-8)
    assert_matches(result, exact, dtype)


@both_dtypes
@pytest.mark.parametrize("reverse", [False, True])
def test_all_parameters_are_updated_in_one_launch(rng, dtype, reverse):
    """Of one element, of a block's share, of one more, of several blocks; and once more."""
    start = [state(rng, (size,), dtype) for size in (1, 4096, 4097, 3, 9001)]
    expected = [tuple(a.copy() for a in arrays) for arrays in start]
    with launch.using(CpuDevice(reverse)) as device:
        arrays = [tuple(map(device.put, parameter)) for parameter in start]
        table = cuda.table(*zip(*arrays, strict=True))
        step, lr = device.put(np.array(7)), device.put(np.array(1e-2))
        for _ in range(2):
            cuda.adam_all(table, step, lr, *DEFAULTS[1:])
            for p, g, m, v in expected:
                numpy_adam(p, g, m, v, int(step), float(lr), *DEFAULTS[1:])
            cuda.count_step(step)
            lr[...] = device.put(0.5 * device.get(lr))
    update = ["adam_scales", f"adam<{launch.ctype(dtype)}>", "count_step"]
    assert device.launched == update * 2
    for found, wanted in zip(arrays, expected, strict=True):
        for array, value in zip(found, wanted, strict=True):
            tolerance = TOLERANCE[dtype]
            np.testing.assert_allclose(array.memory, value, rtol=tolerance, atol=tolerance)


def test_arrays_that_do_not_fit_are_refused(rng):
    p, g, m, v = state(rng, (11, 13), np.float32)
    scalars = np.array(1), np.array(1e-2)
    with pytest.raises(ValueError, match=r"parameter 0, .* float32 \(13, 11\)"):
        in_both_orders(updated, p, g.T.copy(), m, v, *scalars, *DEFAULTS[1:])
    with pytest.raises(ValueError, match=r"dtype float32, got .* float64"):
        in_both_orders(updated, p, g, m, v.astype(np.float64), *scalars, *DEFAULTS[1:])
    with launch.using(CpuDevice()) as device, pytest.raises(ValueError, match="on the GPU"):
        cuda.table([p], [device.put(g)], [device.put(m)], [device.put(v)])
