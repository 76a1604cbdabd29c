"""Sums of parts that are made together, later."""

import numpy as np
import pytest

from minispiral.fused import ConvNormReLU
from minispiral.kernels import arithmetic
from minispiral.kernels.cuda import launch, split_k
from minispiral.kernels.cuda.rows import MOST_ARRAYS
from minispiral.kernels.cuda.sum_parts import completed, late_sums, postponed, sum_parts
from minispiral.tensor import Tensor
from tests.cuda_on_cpu import CpuDevice, needs_compiler

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]

KERNEL = "sum_parts<float>"


@pytest.fixture(params=[False, True], ids=["in order", "reverse"])
def gpu(request):
    with launch.using(CpuDevice(reverse=request.param)) as device:
        yield device


def parts_of_all_kinds(rng, dtype):
    """More sums than a launch takes; sizes around what a block takes."""
    sizes = 1023, 1024, 1025, 1, 255, 257, 4000, 3, *rng.integers(1, 3000, 3)
    counts = 2, 1, 37, 5, *rng.integers(1, 9, len(sizes) - 4)
    return [
        rng.standard_normal((n, size)).astype(dtype) for n, size in zip(counts, sizes, strict=True)
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_are_those_of_the_parts_in_float64(rng, gpu, dtype):
    made = parts_of_all_kinds(rng, dtype)
    outs = [gpu.empty(parts.shape[1:], dtype) for parts in made]
    with late_sums():
        for parts, out in zip(made, outs, strict=True):
            with postponed():
                sum_parts(gpu.put(parts), out)
        assert not gpu.launched
        completed(outs[4])
        assert len(gpu.launched) == -(-len(made) // MOST_ARRAYS)
    for parts, out in zip(made, outs, strict=True):
        total = np.zeros(parts.shape[1])
        for part in parts:
            total += part
        assert np.array_equal(out.memory.reshape(-1), total.astype(dtype))
    assert len(gpu.launched) == -(-len(made) // MOST_ARRAYS), "nothing is summed twice"


def test_nothing_is_postponed_where_nobody_will_ask(rng, gpu):
    parts, out = gpu.put(rng.standard_normal((2, 5))), gpu.empty((5,), np.float64)
    with late_sums():
        sum_parts(parts, out)
        assert len(gpu.launched) == 1
    with postponed():
        sum_parts(parts, out)
    assert len(gpu.launched) == 2


def test_what_an_error_left_behind_is_forgotten(rng, gpu):
    parts, out = gpu.put(rng.standard_normal((2, 5))), gpu.empty((5,), np.float64)

    def fail():
        with late_sums(), postponed():
            sum_parts(parts, out)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with late_sums():
        pass
    assert not gpu.launched


def test_a_backward_pass_gives_the_same_bits_with_fewer_launches(rng, gpu, monkeypatch):
    monkeypatch.setattr(split_k, "parts", lambda *_: 2)
    arrays = (
        rng.standard_normal((3, 17, 17, 8)),
        rng.standard_normal((3, 3, 8, 8)),
        np.ones(8),
        np.ones(8),
    )

    def gradients():
        x, w, gamma, beta = (Tensor(gpu.put(np.float32(a)), requires_grad=True) for a in arrays)
        y = x
        for _ in range(3):  # the weights are shared: their gradients are added to each other
            y = ConvNormReLU(1e-5, 2)(y, w, gamma, beta)
        y.backward(y.data)
        return [t.grad.memory.tobytes() for t in (x, w, gamma, beta)]

    alone = gradients()
    assert gpu.launched.count(KERNEL) == 3
    gpu.launched.clear()
    with late_sums():
        assert gradients() == alone
    assert gpu.launched.count(KERNEL) == 1


def test_a_process_that_adds_gradients_up_gets_complete_ones(rng, gpu):
    parts, out = rng.standard_normal((3, 5)), gpu.empty((5,), np.float64)
    with late_sums():
        with postponed():
            sum_parts(gpu.put(parts), out)
        doubled = arithmetic.add(completed(out), out)
    np.testing.assert_allclose(doubled.memory, 2 * parts.sum(0), rtol=1e-15)
