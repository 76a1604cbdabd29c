"""Where arrays lie, and how they get there and back."""

import numpy as np

from minispiral.kernels.arrays import get, like, on_gpu
from minispiral.kernels.cuda import launch
from tests.cuda_on_cpu import CpuDevice


def test_on_the_cpu_arrays_are_left_alone(rng):
    x, other = rng.standard_normal(3), np.zeros(1)
    assert not on_gpu(x)
    assert get(x) is x
    assert like(x, other) is x
    assert like(x, other, constant=True) is x


def test_arrays_go_where_others_are_and_come_back(rng):
    x = rng.standard_normal((3, 5))
    with launch.using(CpuDevice()) as gpu:
        other = gpu.put(np.zeros(1))
        there = like(x, other)
        assert on_gpu(there)
        assert like(there, other) is there
        assert like(there, x) is there
        assert like(x, other) is not there
        np.testing.assert_array_equal(get(there), x)
    assert not on_gpu(there)  # that GPU is no longer in use


def test_of_a_small_constant_there_is_one_copy_on_each_gpu():
    ones, large = np.ones(7, np.float32), np.zeros(1 << 16)
    for _ in range(2):
        with launch.using(CpuDevice()) as gpu:
            other = gpu.put(np.zeros(1))
            kept = like(ones, other, constant=True)
            assert gpu.owns(kept)
            assert like(ones.copy(), other, constant=True) is kept
            assert like(ones.astype(np.float64), other, constant=True) is not kept
            assert like(ones.reshape(7, 1), other, constant=True).shape == (7, 1)
            assert like(large, other, constant=True) is not like(large, other, constant=True)
