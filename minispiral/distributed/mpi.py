"""A world of processes that mpiexec started, through mpi4py."""

import os
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from mpi4py import MPI
from numpy.typing import DTypeLike, NDArray

from minispiral import profiling
from minispiral.distributed.turns import Turns
from minispiral.distributed.world import World

Array = NDArray[Any]
T = TypeVar("T")

_NAP = 0.001  # seconds between two looks, while a process waits for slow work of another


class MpiWorld(World):
    """The processes of an MPI communicator.

    In a training step they exchange arrays, in buffers that are kept; elsewhere pickled objects,
    and a process that waits there leaves the processor to the others.
    """

    def __init__(self, communicator: MPI.Comm) -> None:
        self.communicator = communicator
        self.rank, self.size = communicator.rank, communicator.size
        self._leaving = communicator.Dup()
        self._gathered: dict[tuple[tuple[int, ...], np.dtype[Any]], Array] = {}

    @cached_property
    def machine(self) -> World:
        return MpiWorld(self.communicator.Split_type(MPI.COMM_TYPE_SHARED, self.rank))

    def gather(self, values: Array) -> Array:
        gathered = self._buffer((self.size, *values.shape), values.dtype)
        with profiling.span("other processes", "small sums"):
            self.communicator.Allgather(np.ascontiguousarray(values), gathered)
        return gathered

    def start_sum(self, values: Array) -> Callable[[], None]:
        if self.machine.size == self.size:  # with no network that could work meanwhile
            with profiling.span("other processes", "gradients"):
                self.communicator.Allreduce(MPI.IN_PLACE, values)
            return lambda: None
        request = self.communicator.Iallreduce(MPI.IN_PLACE, values)

        def wait() -> None:
            with profiling.span("other processes", "gradients"):
                request.Wait()

        return wait

    def exchange(self, value: T) -> list[T]:
        self._meet(self.communicator)
        return list(self.communicator.allgather(value))

    def from_first(self, work: Callable[[], T]) -> T:
        result: T | None = None
        error: Exception | None = None
        if self.is_first:
            try:
                result = work()
            except Exception as raised:
                error = raised
        self._meet(self.communicator)
        result, error = self.communicator.bcast((result, error))
        if error is not None:
            raise error
        return result

    def collect(
        self,
        count: int,
        work: Callable[[int], T],
        arrived: Callable[[int, T], None] | None = None,
    ) -> list[T]:
        turns = Turns(self.communicator, self.turns(count), arrived)
        turns.take(work)
        self._meet(self.communicator, meanwhile=turns.listen)
        return turns.results(count)

    def leave(self, exit_code: int, seconds: float | None) -> list[int] | None:
        if not self._meet(self._leaving, seconds):
            return None
        return list(self._leaving.allgather(exit_code))

    def abort(self, exit_code: int) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # MPI would add lines of its own
        self.communicator.Abort(exit_code)

    def _meet(
        self,
        communicator: MPI.Comm,
        seconds: float | None = None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> bool:
        """Wait until all processes have come here, or for so many seconds; whether they did."""
        deadline = None if seconds is None else time.monotonic() + seconds
        request = communicator.Ibarrier()
        while not request.Test():
            if deadline is not None and time.monotonic() > deadline:
                return False
            meanwhile()
            time.sleep(_NAP)
        return True

    def _buffer(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        key = shape, np.dtype(dtype)
        if key not in self._gathered:
            self._gathered[key] = np.empty(*key)
        return self._gathered[key]


def everyone() -> MpiWorld:
    """All processes of the job."""
    if not MPI.Is_initialized():
        MPI.Init_thread()
    return MpiWorld(MPI.COMM_WORLD)


def is_open_mpi() -> bool:
    """Whether mpi4py speaks to Open MPI, or to one that is made of it."""
    return "Open MPI" in MPI.Get_library_version() or "Spectrum" in MPI.Get_library_version()


def library() -> str:
    """The MPI that mpi4py speaks to: its name and version."""
    name, version = MPI.get_vendor()
    return f"{name} {'.'.join(map(str, version))}"
