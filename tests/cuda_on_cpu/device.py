"""A `Gpu` of `minispiral.kernels.cuda.launch` whose memory and threads are the CPU's."""

import ctypes
import math
import mmap
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minispiral.kernels.cuda import sources, table

from .array import DeviceArray, check_not_recording, recording
from .build import build, precompile

PAGE = mmap.PAGESIZE


class KernelError(Exception):
    """A kernel did what it must not; where, and what."""


class DirectUploads:
    """Uploads that are done at once; see `minispiral.kernels.cuda.launch.Uploads`."""

    def __init__(self, targets: list[DeviceArray]) -> None:
        self.targets = targets

    def send(self, *values: NDArray[Any]) -> None:
        check_not_recording("an upload")
        for target, array in zip(self.targets, values, strict=True):
            np.copyto(target.memory, array)


class Alone:
    """The `minispiral.kernels.cuda.launch.Communicator` of a single process."""

    def __init__(self, device: "CpuDevice") -> None:
        self.device = device

    def gather(self, values: DeviceArray, gathered: DeviceArray) -> None:
        self.device.queue(lambda: np.copyto(gathered.memory[0], values.memory))

    def add(self, values: DeviceArray) -> None:
        pass


class CpuDevice:
    """Runs kernels on the CPU, threads in order or, with ``reverse``, the last ones first.

    Arrays hold NaN (integers -1) until they are written, and lie against a page that cannot be
    touched: they end where it begins or, with ``reverse``, begin where it ends. A kernel that reads
    or writes beyond an array raises `KernelError`, as does one that goes wrong at a barrier.
    ``kernels`` is the folder of the sources, ``flags`` go to the compiler, and ``only`` says which
    kernels are compiled. ``guarded = False`` takes memory from the heap, for AddressSanitizer to
    watch.
    """

    def __init__(
        self,
        reverse: bool = False,
        kernels: Path = sources.FOLDER,
        flags: Sequence[str] = (),
        only: Collection[str] = table.KERNELS,
        guarded: bool = True,
    ) -> None:
        self.reverse, self.kernels, self.flags = reverse, kernels, flags
        self.only, self.guarded = only, guarded
        self.launched: list[str] = []  # the kernels that ran, by expression
        self.recorded: list[Callable[[], None]] | None = None  # for a graph in the making
        self.libraries: dict[str, tuple[list[str], ctypes.CDLL]] = {}  # by file

    def obstacle(self) -> str | None:
        return None

    def describe(self) -> str:
        return "CUDA on the CPU"

    def name_on_machine(self) -> str:
        return f"process {os.getpid()}"

    def turn_to(self, number: int) -> None:
        pass

    def communicator_id(self) -> None:
        pass

    def communicator(self, size: int, identity: None, rank: int) -> "Alone":
        if size > 1:
            raise RuntimeError("there is no NCCL for CUDA on the CPU")
        return Alone(self)

    def in_use(self) -> AbstractContextManager[None]:
        return nullcontext()

    def has_tensor_cores(self) -> bool:
        return True

    def owns(self, array: Any) -> bool:
        return isinstance(array, DeviceArray)

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> DeviceArray:
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        memory = _guarded(size, self.reverse) if self.guarded else np.empty(size, np.uint8)
        memory[:] = 0xFF
        return DeviceArray(memory.view(dtype).reshape(shape))

    def put(self, values: NDArray[Any]) -> DeviceArray:
        check_not_recording("a copy from the host")
        copy = self.empty(values.shape, values.dtype)
        copy.memory[...] = values
        return copy

    def get(self, array: DeviceArray) -> NDArray[Any]:
        check_not_recording("a copy to the host")
        return array.memory.copy()

    def address(self, array: Any) -> int:
        return int(array.memory.ctypes.data)

    def synchronize(self) -> None:
        pass

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Launches are kept for later, with their arguments; anything else is refused."""
        self.recorded = []
        try:
            with recording():
                work()
        finally:
            graph, self.recorded = self.recorded, None

        def replay() -> None:
            for queued in graph:
                queued()

        return replay

    def queue(self, work: Callable[[], None]) -> None:
        """Do it now or, while a graph is being recorded, whenever that is launched."""
        if self.recorded is None:
            work()
        else:
            self.recorded.append(work)

    def uploads(
        self, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[DTypeLike]
    ) -> DirectUploads:
        return DirectUploads([self.empty(*kind) for kind in zip(shapes, dtypes, strict=True)])

    def launch(
        self,
        kernel: table.Kernel,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        arguments: list[Any],
    ) -> None:
        self.queue(partial(self._launch, kernel, grid, block, arguments))

    def _launch(
        self,
        kernel: table.Kernel,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        arguments: list[Any],
    ) -> None:
        names, library = self.library(kernel.file)
        index = names.index(kernel.expression)
        self._start(library, kernel.expression, index, grid, block, kernel.shared, arguments)
        self.launched.append(kernel.expression)

    def library(self, file: str) -> tuple[list[str], ctypes.CDLL]:
        """The kernels of a file of the table: their names, and the library that has them."""
        if file not in self.libraries:
            names = [name for name in table.expressions(file) if name in self.only]
            self.libraries[file] = names, build(self.kernels / file, names, self.flags)
        return self.libraries[file]

    def run(
        self,
        file: Path,
        expressions: Sequence[str],
        index: int,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        shared: int,
        arguments: list[Any],
    ) -> None:
        """Run one of the kernels of a file. `KernelError` where anything goes wrong."""
        library = build(file, expressions, self.flags)
        self._start(library, expressions[index], index, grid, block, shared, arguments)

    def _start(
        self,
        library: ctypes.CDLL,
        name: str,
        index: int,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        shared: int,
        arguments: list[Any],
    ) -> None:
        signature = library[f"signature_kernel{index}"]
        signature.restype = ctypes.c_char_p
        _check(name, signature().decode().split(), arguments)

        values = [_value(argument) for argument in arguments]  # each in memory of its own
        pointers = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        start = library[f"launch_kernel{index}"]
        start.restype = ctypes.c_bool
        sizes = [(ctypes.c_uint * 3)(*(*size, 1, 1)[:3]) for size in (grid, block)]
        if not start(*sizes, ctypes.c_size_t(shared), ctypes.c_bool(self.reverse), pointers):
            raise KernelError(f"{name}, {_failure(library, arguments)}")


def build_at_once(jobs: Iterable[tuple[CpuDevice, str]]) -> None:
    """Compile files for devices ahead of their use, as many at a time as there are cores."""
    jobs = list(jobs)
    for flags in {tuple(device.flags) for device, _ in jobs}:
        precompile(flags)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda job: job[0].library(job[1]), jobs))


def _guarded(size: int, at_start: bool) -> NDArray[np.uint8]:
    """``size`` bytes that begin (or end) at a page that is not to be touched."""
    room = -(-max(size, 1) // PAGE) * PAGE
    memory = np.frombuffer(mmap.mmap(-1, room + PAGE), np.uint8)
    guard = memory.ctypes.data if at_start else memory.ctypes.data + room
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(PAGE), 0) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    start = PAGE if at_start else room - size
    return memory[start : start + size]


def _check(name: str, signature: list[str], arguments: list[Any]) -> None:
    """Refuse arguments of other types than the parameters: neither CUDA nor ctypes would."""
    given = [_type_of(argument) for argument in arguments]
    # A struct in memory is an array of numbers whose last axis is as large.
    for i, (wanted, argument) in enumerate(zip(signature, arguments, strict=False)):
        if wanted.startswith("*V") and isinstance(argument, DeviceArray) and argument.ndim:
            given[i] = f"*V{argument.shape[-1] * argument.itemsize}"
    if given != signature:
        raise KernelError(f"{name} takes {' '.join(signature)}, but was given {' '.join(given)}")


def _type_of(argument: Any) -> str:
    star = "*" if isinstance(argument, DeviceArray) else ""
    return star + argument.dtype.str[1:]


def _value(argument: Any) -> NDArray[Any]:
    """What the kernel's parameter holds: an address or a number."""
    if isinstance(argument, DeviceArray):
        return np.array(argument.memory.ctypes.data, np.uintp)
    return np.array(argument)


def _failure(library: ctypes.CDLL, arguments: list[Any]) -> str:
    library.failure.restype = ctypes.c_char_p
    library.faulty_address.restype = ctypes.c_void_p
    text: str = library.failure().decode()
    address = library.faulty_address()
    for i, array in enumerate(arguments):
        if address and isinstance(array, DeviceArray):
            start = array.memory.ctypes.data
            stop = start + array.nbytes
            if start - PAGE <= address < start:
                text += f", {start - address} bytes before argument {i} {array.shape}"
            elif stop <= address < stop + PAGE:
                text += f", {address - stop} bytes beyond argument {i} {array.shape}"
    return text
