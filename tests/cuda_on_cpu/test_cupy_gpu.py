"""The layer over CuPy, on the double of CuPy: training, uploads, graphs and their failures."""

from contextlib import nullcontext

import numpy as np
import pytest

from minispiral import networks
from minispiral.device import Device
from minispiral.distributed import World
from minispiral.distributed.gpu import ThroughNccl
from minispiral.distributed.sharing import exchanging
from minispiral.kernels import arithmetic, batchnorm
from minispiral.kernels.arrays import get
from minispiral.kernels.cuda import cupy_gpu, launch
from minispiral.kernels.cuda.table import KERNELS, expressions
from minispiral.optim import Adam
from minispiral.training import step
from minispiral.training.step import LAUNCHED, training_step
from tests.cuda_on_cpu import CpuDevice, needs_compiler
from tests.cuda_on_cpu.cupy_double import Machine, in_place_of_cupy, memory, nccl, streams
from tests.cuda_on_cpu.cupy_double.kernels import RawModule
from tests.cuda_on_cpu.cupy_double.machine import CUDADriverError, CUDARuntimeError
from tests.cuda_on_cpu.twins import assert_same_bits

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]

GPU = Device("cuda")
STEPS = LAUNCHED + 3  # some launched, some replayed


def batches(rng, count=STEPS, side=11):
    shape = 2, side, side
    return [
        (
            rng.integers(256, size=(*shape, 3), dtype=np.uint8),
            rng.random((*shape, 1)) < 0.1,
            rng.random((2, 2)) < 0.5,
        )
        for _ in range(count)
    ]


def train(seed, made, before=lambda i, run: None, nccl=False):
    """Train on the GPU in use: all numbers that it leaves, what was said, the step itself."""
    said = []
    network = networks.build(
        "spiral", depths=(1, 2), width=0.07, rng=np.random.default_rng(seed)
    ).to(GPU)
    adam = Adam(network.named_parameters(), lr=1e-3)
    with GPU.in_use():
        shared = exchanging(ThroughNccl(World()), 2) if nccl else nullcontext
        run = training_step(GPU, network, adam, shared=shared, say=said.append)
        pixels, mask, flips = (np.empty_like(array) for array in made[0])
        for i, batch in enumerate(made):
            before(i, run)
            for array, values in zip((pixels, mask, flips), batch, strict=True):
                array[...] = values  # the host fills its arrays anew while the GPU computes
            run(pixels, mask, flips)
        arrays = {**network.state(), **adam.state(), "totals": run.totals}
        return {name: np.array(get(array)) for name, array in arrays.items()}, said, run


def on_executor(seed, made):
    with launch.using(CpuDevice()):
        return train(seed, made)[0]


def test_steps_launched_and_captured_give_the_bits_of_the_executor(rng, monkeypatch):
    """Whenever streams do their work, and whichever threads come first."""
    seed, made = int(rng.integers(2**32)), batches(rng)
    expected = on_executor(seed, made)
    for machine in (Machine(), Machine(rng=rng, reverse=True)):
        with in_place_of_cupy(machine):
            found, said, run = train(seed, made)
        assert run.graph is not None
        assert said == []
        assert_same_bits(found, expected)
    monkeypatch.setattr(step, "LAUNCHED", STEPS)
    with in_place_of_cupy(Machine(rng=rng)):
        found, said, run = train(seed, made)
    assert run.graph is None
    assert_same_bits(found, expected)


@pytest.fixture
def machine(rng):
    with in_place_of_cupy(Machine(rng=rng)) as machine:
        yield machine


def forbid(*arguments):
    raise CUDARuntimeError(2)


class Short(memory.MemoryPool):
    """A pool of a graph, which takes no more than so many blocks."""

    left = 0

    def malloc(self, size):
        self.left -= 1
        if self.left < 0:
            raise memory.OutOfMemoryError(size, 0)
        return super().malloc(size)


def cannot_capture(monkeypatch, rng, how):
    """Plant a reason why no step can be captured; what CuPy says of it."""
    if how == "a call that waits":
        forward = step.GpuTrainingStep._forward

        def waits(self, *arrays):
            loss = forward(self, *arrays)
            GPU.synchronize()
            return loss

        monkeypatch.setattr(step.GpuTrainingStep, "_forward", waits)
        return "cudaErrorStreamCaptureUnsupported"
    if how == "memory":
        monkeypatch.setattr(Short, "left", int(rng.integers(20)))
        monkeypatch.setattr(launch.gpu().cupy.cuda, "MemoryPool", Short)
        return "Out of memory allocating"
    monkeypatch.setattr(streams.Graph, "_of", forbid)
    return "cudaErrorMemoryAllocation"


@pytest.mark.parametrize("how", ["a call that waits", "memory", "the graph itself"])
def test_where_a_step_cannot_be_captured_all_are_launched_and_it_is_said_once(
    machine, rng, monkeypatch, how
):
    seed, made = int(rng.integers(2**32)), batches(rng)
    reason = cannot_capture(monkeypatch, rng, how)
    found, [said], run = train(seed, made)
    assert run.graph is None
    assert said.startswith("No step can be captured as a CUDA graph, so every kernel is launched")
    assert reason in said
    assert "\n" not in said
    assert all(queue.captured is None for queue in machine.queues.values())
    monkeypatch.undo()
    assert_same_bits(found, on_executor(seed, made))


def test_without_a_listener_it_is_a_warning(machine, rng, monkeypatch):
    reason = cannot_capture(monkeypatch, rng, "the graph itself")
    network = networks.build("spiral", depths=(1,), width=0.05, rng=rng).to(GPU)
    run = training_step(GPU, network, Adam(network.named_parameters()))
    with GPU.in_use():
        *launched, last = batches(rng, LAUNCHED + 1, side=7)
        for batch in launched:
            run(*batch)
        with pytest.warns(UserWarning, match=reason):
            run(*last)


@pytest.mark.parametrize("planted", [False, True])
def test_a_graph_writes_to_no_memory_of_others(machine, rng, monkeypatch, planted):
    """It would without a pool of its own: what a step frees would be lent to others."""
    if planted:
        monkeypatch.setattr(launch.gpu().cupy.cuda, "using_allocator", lambda malloc: nullcontext())
    others = []

    def take(i, run):
        if run.graph is not None:
            for size in rng.integers(1, 3000, 40):
                values = rng.random(size, np.float32)
                others.append((values, GPU.put(values)))

    train(0, batches(rng), take)
    kept = [GPU.get(array).tobytes() == values.tobytes() for values, array in others]
    assert all(kept) != planted


def test_gradients_are_gone_before_the_graph_takes_memory(machine, rng, monkeypatch):
    alive = []

    def note(i, run):
        def free(pool):
            alive.append([p.grad is not None for p in run.network.parameters()])

        if i == LAUNCHED:
            assert all(p.grad is not None for p in run.network.parameters())
            monkeypatch.setattr(memory.MemoryPool, "free_all_blocks", free)

    train(0, batches(rng, LAUNCHED + 1), note)
    assert not any(alive[0])


def test_a_graph_holds_the_calls_of_nccl(machine, rng):
    seed, made = int(rng.integers(2**32)), batches(rng)
    found, said, run = train(seed, made, nccl=True)
    assert run.graph is not None
    assert said == []
    assert {call[0] for call in nccl.calls} == {"allGather", "allReduce"}
    assert {call[3] for call in nccl.calls} == {launch.gpu().stream.ptr}
    with launch.using(CpuDevice()):
        expected = train(seed, made, nccl=True)[0]
    assert_same_bits(found, expected)


def test_every_file_is_compiled_once_for_each_gpu(rng, monkeypatch):
    x = rng.standard_normal((2, 5, 5, 40))
    expected = [x.mean((0, 1, 2)), x.var((0, 1, 2))]
    compiled = []

    class Noted(RawModule):
        def __init__(self, **named):
            compiled.append((launch.gpu().cupy.cuda.Device().id, named["name_expressions"][0]))
            super().__init__(**named)

    with in_place_of_cupy(Machine(capabilities=["90", "80"])):
        monkeypatch.setattr(launch.gpu().cupy, "RawModule", Noted)
        for number in (0, 1, 0, 1):
            launch.choose(number)
            with GPU.in_use():
                moments = [GPU.get(array) for array in batchnorm.moments(GPU.put(x))]
            np.testing.assert_allclose(moments, expected, rtol=1e-12, atol=1e-15)
    assert sorted(compiled) == [(gpu, expressions("batchnorm.cu")[0]) for gpu in (0, 1)]


@pytest.mark.parametrize("planted", [False, True])
def test_what_was_begun_before_a_gpu_is_used_is_done_then(rng, monkeypatch, planted):
    if planted:
        monkeypatch.setattr(cupy_gpu.CupyGpu, "synchronize", lambda self: None)
    x = rng.standard_normal(1000)
    with in_place_of_cupy():
        there = GPU.put(x)
        with GPU.in_use():
            found = GPU.get(arithmetic.sigmoid(there))
    assert np.allclose(found, 1 / (1 + np.exp(-x)), rtol=1e-14) != planted


def test_arrays_of_any_layout_are_put_as_kernels_take_them(machine, rng):
    for x in (
        np.asfortranarray(rng.random((5, 3, 7))),
        rng.random((4, 6))[::2, 1::3],
        rng.random(3)[::-1],
        np.float32(2.5),
    ):
        there = launch.gpu().put(np.asarray(x))
        assert there.flags.c_contiguous
        assert launch.gpu().get(there).tobytes() == np.ascontiguousarray(x).tobytes()
        y = launch.gpu().get(arithmetic.sigmoid(there))
        np.testing.assert_allclose(y, 1 / (1 + np.exp(-np.asarray(x))), rtol=1e-6)
    fortran = launch.gpu().cupy.asarray(np.asfortranarray(rng.random((5, 3))))
    with pytest.raises(ValueError, match="takes contiguous arrays"):
        arithmetic.sigmoid(fortran)


@pytest.mark.parametrize("planted", [False, True])
def test_more_shared_memory_than_usual_is_asked_for(machine, rng, monkeypatch, planted):
    name = "sigmoid_of<double>"
    monkeypatch.setitem(KERNELS, name, KERNELS[name]._replace(shared=100_000))
    x = rng.standard_normal(7)
    if planted:
        monkeypatch.setattr(cupy_gpu, "_STATIC_SHARED", 100_000)
        with pytest.raises(CUDADriverError, match="INVALID_VALUE"):
            arithmetic.sigmoid(GPU.put(x))
    else:
        found = GPU.get(arithmetic.sigmoid(GPU.put(x)))
        np.testing.assert_allclose(found, 1 / (1 + np.exp(-x)), rtol=1e-14)
