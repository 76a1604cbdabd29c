"""What is asked of CuPy where several processes compute on GPUs, on the double of CuPy."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from minispiral.distributed import World
from minispiral.distributed.gpu import ThroughHosts, ThroughNccl, doubled, sharers
from minispiral.errors import UserError
from minispiral.kernels import collective
from minispiral.kernels.cuda import launch
from tests.cuda_on_cpu.cupy_double import Machine, in_place_of_cupy, nccl


@pytest.fixture
def machine():
    with in_place_of_cupy(Machine(capabilities=["90"] * 3)) as machine:
        yield machine


@pytest.mark.parametrize(("dtype", "code"), [(np.float32, 7), (np.float64, 8)])
def test_arrays_are_exchanged_on_the_stream_in_use(machine, rng, dtype, code):
    group, gpu = ThroughNccl(World()), launch.gpu()
    x = rng.standard_normal((5, 3)).astype(dtype)
    with gpu.in_use(), collective.shared(group, 7):
        assert collective.is_recordable()
        there = gpu.put(x)
        gathered = collective.gather(there)
        assert collective.whole_size(there) == 21
        group.start_sum(there)()
        assert (gathered.shape, gathered.dtype) == ((1, 5, 3), dtype)
        assert gpu.get(gathered).tobytes() == x.tobytes()
    stream = gpu.stream.ptr
    assert nccl.calls == [("allGather", 15, code, stream), ("allReduce", 15, code, stream)]


class Together(World):
    """The first of two processes that do the same, the other on GPU ``other`` of this machine."""

    size = 2

    def __init__(self, other):
        self.other = other

    def exchange(self, value):
        mine = value == launch.gpu().name_on_machine()
        return [value, self.other if mine else value]


def test_where_nccl_cannot_be_used_the_processors_do_it_and_it_is_said(machine, monkeypatch):
    def chosen(other):
        said = []
        return type(sharers(Together(other), True, said.append)), said

    launch.choose(4)
    own = "0000:01:00.0"
    assert launch.gpu().name_on_machine() == own
    assert doubled(Together("0000:00:00.0"), True) == ""
    assert doubled(Together(own), True) == (
        "warning: 2 processes on one machine share one GPU; start one process for each GPU"
    )
    kind, [line] = chosen(own)
    assert kind is ThroughHosts
    assert "NCCL needs a GPU for each process" in line
    module = sys.modules["cupy.cuda.nccl"]
    monkeypatch.setattr(module, "NcclCommunicator", lambda *arguments: SimpleNamespace())
    assert chosen("0000:00:00.0") == (ThroughNccl, [])
    monkeypatch.setattr(module, "available", False)
    kind, [line] = chosen("0000:00:00.0")
    assert kind is ThroughHosts
    assert "CuPy finds no NCCL; install nvidia-nccl-cu12" in line


def test_gpus_and_processors_do_not_mix():
    class Mixed(World):
        size = 2

        def exchange(self, value):
            return [value, not value]

    for on_gpu in (False, True):
        with pytest.raises(UserError, match="The device to compute on differs"):
            sharers(Mixed(), on_gpu, print)


@pytest.mark.parametrize("asked_before", [False, True])
def test_a_process_stays_on_the_gpu_it_turned_to(machine, asked_before):
    if asked_before:
        with launch.gpu().in_use():
            assert machine.device == 0
    launch.choose(5)
    launch.gpu()
    assert machine.device == 2  # of three
    machine.device = 0  # as in another thread
    with launch.gpu().in_use():
        assert machine.device == 2
    assert machine.device == 0
