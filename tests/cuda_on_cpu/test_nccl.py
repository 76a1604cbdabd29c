"""What is asked of CuPy where several processes compute on GPUs: no GPU has run this.

The calls are those of CuPy 14.2, whose NCCL this one takes the place of, for a single process.
"""

import ctypes
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from minispiral.distributed import World
from minispiral.distributed.gpu import ThroughHosts, ThroughNccl, doubled, sharers
from minispiral.errors import UserError
from minispiral.kernels import collective
from minispiral.kernels.cuda import launch

STREAM = 0x5EED


class Array(np.ndarray):
    @property
    def data(self):
        return SimpleNamespace(ptr=self.ctypes.data)


class Nccl(SimpleNamespace):
    """As in ``cupy.cuda.nccl``; notes its calls."""

    NCCL_FLOAT32, NCCL_FLOAT64, NCCL_SUM = 7, 8, 0

    def __init__(self):
        super().__init__(available=True, calls=[], NcclCommunicator=self.join)

    def get_unique_id(self):
        return bytes(range(128))

    def join(self, size, identity, rank):
        assert (size, len(identity), rank) == (1, 128, 0)
        return SimpleNamespace(allGather=self.all_gather, allReduce=self.all_reduce)

    def all_gather(self, send, receive, count, dtype, stream):
        self.calls.append(("allGather", count, dtype, stream))
        ctypes.memmove(receive, send, count * {7: 4, 8: 8}[dtype])

    def all_reduce(self, send, receive, count, dtype, op, stream):
        assert op == self.NCCL_SUM
        assert send == receive
        self.calls.append(("allReduce", count, dtype, stream))


class Cuda(SimpleNamespace):
    """As ``cupy.cuda`` of a process that sees three GPUs; CUDA has a current one."""

    def __init__(self):
        super().__init__(now=0, runtime=SimpleNamespace(getDeviceCount=lambda: 3))

    def is_available(self):
        return True

    def Device(self, number=None):
        cuda = self

        class Device:
            id = cuda.now if number is None else number
            pci_bus_id = f"0000:{id:02}:00.0"

            def use(self):
                cuda.now = self.id

            def __enter__(self):
                self.before, cuda.now = cuda.now, self.id

            def __exit__(self, *error):
                cuda.now = self.before

        return Device()

    def get_current_stream(self):
        return SimpleNamespace(ptr=STREAM, synchronize=lambda: None)

    def Stream(self, non_blocking):
        cuda, own = self, self.now

        class Stream:
            def __enter__(self):
                assert cuda.now == own, "a stream of another GPU"

            def __exit__(self, *error):
                pass

        return Stream()


@pytest.fixture
def nccl(monkeypatch):
    cupy = SimpleNamespace(
        ndarray=Array,
        cuda=Cuda(),
        empty=lambda shape, dtype: np.empty(shape, dtype).view(Array),
        asarray=lambda values: values.copy().view(Array),
        asnumpy=np.array,
    )
    nccl = Nccl()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", nccl)
    monkeypatch.setattr(launch, "_gpu", None)
    monkeypatch.setattr(launch, "_number", None)
    return nccl


@pytest.mark.parametrize(("dtype", "code"), [(np.float32, 7), (np.float64, 8)])
def test_arrays_are_exchanged_on_the_stream_in_use(nccl, rng, dtype, code):
    group = ThroughNccl(World())
    x = launch.gpu().put(rng.standard_normal((5, 3)).astype(dtype))
    with collective.shared(group, 7):
        assert collective.is_recordable()
        gathered = collective.gather(x)
        assert collective.whole_size(x) == 21
    assert (gathered.shape, gathered.dtype) == ((1, 5, 3), dtype)
    assert gathered.tobytes() == x.tobytes()
    group.start_sum(x)()
    assert nccl.calls == [("allGather", 15, code, STREAM), ("allReduce", 15, code, STREAM)]


class Together(World):
    """The first of two processes that do the same, the other on GPU ``other`` of this machine."""

    size = 2

    def __init__(self, other):
        self.other = other

    def exchange(self, value):
        mine = value == launch.gpu().name_on_machine()
        return [value, self.other if mine else value]


def test_where_nccl_cannot_be_used_the_processors_do_it_and_it_is_said(nccl):
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
    nccl.join = nccl.NcclCommunicator = lambda *arguments: SimpleNamespace()
    assert chosen("0000:00:00.0") == (ThroughNccl, [])
    nccl.available = False
    kind, [line] = chosen("0000:00:00.0")
    assert kind is ThroughHosts
    assert "CuPy finds no NCCL" in line


def test_gpus_and_processors_do_not_mix():
    class Mixed(World):
        size = 2

        def exchange(self, value):
            return [value, not value]

    for on_gpu in (False, True):
        with pytest.raises(UserError, match="The device to compute on differs"):
            sharers(Mixed(), on_gpu, print)


@pytest.mark.parametrize("asked_before", [False, True])
def test_a_process_stays_on_the_gpu_it_turned_to(nccl, asked_before):
    if asked_before:
        with launch.gpu().in_use():
            assert launch.gpu().cupy.cuda.now == 0
    launch.choose(5)
    cuda = launch.gpu().cupy.cuda
    assert cuda.now == 2  # of three
    cuda.now = 0  # as in another thread
    with launch.gpu().in_use():
        assert cuda.now == 2
    assert cuda.now == 0
