"""The launches of a training step, recorded on a GPU that is not there.

Nothing is computed and no memory is taken: arrays have a shape and a dtype only. So a full step is
recorded on any machine, by the very code that would run it on a GPU.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bench.common.network import network_of
from bench.common.task import Task
from minispiral.device import Device
from minispiral.kernels.cuda import launch, sources
from minispiral.kernels.cuda.launch import Communicator
from minispiral.kernels.cuda.table import Kernel
from minispiral.optim import Adam
from minispiral.training.step import GpuTrainingStep


class Argument(NamedTuple):
    """What a kernel got for one parameter."""

    name: str  # in the kernel's source
    value: Any  # a number or a struct; None for an array
    shape: tuple[int, ...]
    nbytes: int  # of an array; 0 for others
    written: bool  # else read

    @property
    def is_array(self) -> bool:
        return self.value is None


@dataclass(frozen=True)
class Launch:
    """A kernel as it was launched."""

    kernel: Kernel
    grid: tuple[int, ...]
    block: tuple[int, ...]
    arguments: dict[str, Argument]  # by name

    def __getitem__(self, name: str) -> Any:
        """What was given for a parameter: a number, the members of a struct, or a shape."""
        argument = self.arguments[name]
        if argument.is_array:
            return argument.shape
        members = argument.value.dtype.names
        if members is None:
            return argument.value.item()
        return dict(zip(members, argument.value.item(), strict=True))


class Outline:
    """An array without memory: nothing can be computed with it."""

    __array_ufunc__ = None

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)

    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: int(np.prod(self.shape, dtype=np.int64)))
    itemsize = property(lambda self: self.dtype.itemsize)
    nbytes = property(lambda self: self.size * self.itemsize)
    flags = SimpleNamespace(c_contiguous=True)

    def _like(self) -> NDArray[Any]:
        return np.broadcast_to(np.zeros((), self.dtype), self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def reshape(self, *shape: Any) -> "Outline":
        return Outline(self._like().reshape(*shape).shape, self.dtype)

    def __getitem__(self, place: Any) -> "Outline":
        return Outline(self._like()[place].shape, self.dtype)

    def __setitem__(self, place: Any, value: Any) -> None:
        pass

    def fill(self, value: Any) -> None:
        pass


class NoUploads:
    """See `minispiral.kernels.cuda.launch.Uploads`."""

    def __init__(self, targets: list[Outline]) -> None:
        self.targets = targets

    def send(self, *values: NDArray[Any]) -> None:
        pass


class Recorder:
    """A `minispiral.kernels.cuda.launch.Gpu` that notes what is launched."""

    def __init__(self) -> None:
        self.launches: list[Launch] = []

    def obstacle(self) -> str | None:
        return None

    def describe(self) -> str:
        return "no GPU"

    def name_on_machine(self) -> str:
        return self.describe()

    def turn_to(self, number: int) -> None:
        pass

    def in_use(self) -> AbstractContextManager[None]:
        return nullcontext()

    def has_tensor_cores(self) -> bool:
        return True

    def owns(self, array: Any) -> bool:
        return isinstance(array, Outline)

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Outline:
        return Outline(shape, dtype)

    def put(self, values: NDArray[Any]) -> Outline:
        return Outline(values.shape, values.dtype)

    def get(self, array: Outline) -> NDArray[Any]:
        raise RuntimeError("nothing is computed here")

    def address(self, array: Outline) -> int:
        return 0

    def synchronize(self) -> None:
        pass

    def launch(
        self, kernel: Kernel, grid: tuple[int, ...], block: tuple[int, ...], arguments: list[Any]
    ) -> None:
        found = {}
        for (name, written), value in zip(parameters(kernel), arguments, strict=True):
            if isinstance(value, Outline):
                found[name] = Argument(name, None, value.shape, value.nbytes, written)
            else:
                found[name] = Argument(name, value, (), 0, False)
        self.launches.append(Launch(kernel, grid, block, found))

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        work()
        return lambda: None

    def uploads(self, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[DTypeLike]) -> NoUploads:
        return NoUploads([Outline(*kind) for kind in zip(shapes, dtypes, strict=True)])

    def communicator_id(self) -> Any:
        raise RuntimeError("the step of one process is recorded")

    def communicator(self, size: int, identity: Any, rank: int) -> Communicator:
        raise RuntimeError("the step of one process is recorded")


@cache
def parameters(kernel: Kernel) -> list[tuple[str, bool]]:
    """Name, and whether it is an array that is written, of each parameter in the source."""
    name = kernel.expression.partition("<")[0]
    pattern = rf"__global__ void[^;{{]*?\b{name}\(([^)]*)\)\s*\{{"
    text = re.search(pattern, sources.expand(kernel.file))
    assert text is not None, f"{kernel.file} has no kernel {name}"
    found = []
    for declared in text[1].split(","):
        words = declared.replace("*", " * ").split()
        found.append((words[-1], "*" in words and "const" not in words))
    return found


@contextmanager
def recording() -> Iterator[Recorder]:
    """Inside this context kernels are recorded instead of run."""
    with launch.using(Recorder()) as recorder:
        assert isinstance(recorder, Recorder)
        yield recorder


def step(task: Task, precision: str) -> list[Launch]:
    """The launches of a training step, as its graph would hold them."""
    device = Device("cuda", precision)
    with recording() as recorder, device.in_use():
        network = network_of(task, np.random.default_rng(0)).to(device).train()
        take_step = GpuTrainingStep(network, Adam(network.named_parameters(), lr=1e-4))
        shape = task.batch, task.side, task.side
        pixels, mask = np.zeros((*shape, 3), np.uint8), np.zeros((*shape, 1), np.bool_)
        take_step(pixels, mask)  # the first step also uploads constants
        recorder.launches.clear()
        take_step(pixels, mask)
        return recorder.launches
