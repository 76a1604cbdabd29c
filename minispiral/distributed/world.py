"""The processes of a job, as one of them sees them: who there is, and how they speak."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from minispiral.errors import UserError

if TYPE_CHECKING:  # the command line asks for the world before it needs NumPy
    from numpy.typing import NDArray

    Array = NDArray[Any]

T = TypeVar("T")


class World:
    """A job of one process, which has nobody to speak to.

    ``rank`` counts the processes from 0, ``size`` is their number. All processes call the methods
    of a world in the same order. `machine` are the processes on the same machine, among
    themselves.
    """

    rank = 0
    size = 1
    recordable = False  # a graph of the GPU holds no calls of the processor

    @property
    def machine(self) -> World:
        return self

    @property
    def is_first(self) -> bool:
        """Whether this process speaks for all: it prints, and writes the files of a run."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """The indices of this process's part of ``count`` things: a contiguous range."""
        borders = [count * rank // self.size for rank in (self.rank, self.rank + 1)]
        return range(*borders)

    def gather(self, values: Array) -> Array:
        """The arrays of all processes, ``(size, *values.shape)``; overwritten by the next call."""
        return values[None]

    def start_sum(self, values: Array) -> Callable[[], None]:
        """Begin to replace ``values`` by their sum over the processes; the function waits for it.

        All processes get the same bits.
        """
        return lambda: None

    def exchange(self, value: T) -> list[T]:
        """The values of all processes, in the order of their ranks; any objects, slowly."""
        return [value]

    def from_first(self, work: Callable[[], T]) -> T:
        """What ``work()`` returns in the first process, for all; an error it raises, for all."""
        return work()

    def together(self, work: Callable[[], T]) -> T:
        """What ``work()`` returns, in each process its own; an error it raises in one, in all."""
        own: list[T] = []
        error: Exception | None = None
        try:
            own.append(work())
        except Exception as raised:
            error = raised
        errors = self.exchange(error)
        errors[self.rank] = error  # with its traceback
        for found in errors:
            if found is not None:
                raise found
        return own[0]

    def turns(self, count: int) -> range:
        """The indices of this process's part of ``count`` things, where they take turns."""
        return range(self.rank, count, self.size)

    def collect(
        self,
        count: int,
        work: Callable[[int], T],
        arrived: Callable[[int, T], None] | None = None,
    ) -> list[T]:
        """``[work(i) for i in range(count)]``, the processes taking turns; all get all results.

        The first process calls ``arrived(i, result)`` for each, between its own work as they come.
        If work raises an error, the one of the lowest ``i`` is raised in all processes, and what
        would come after it is not begun.
        """
        results = []
        for i in range(count):
            results.append(work(i))
            if arrived:
                arrived(i, results[i])
        return results

    def leave(self, exit_code: int, seconds: float | None) -> list[int] | None:
        """Meet at the end: the exit codes of all processes, in the order of their ranks.

        None if some do not come within so many seconds.
        """
        return [exit_code]

    def abort(self, exit_code: int) -> None:
        """End all processes of the job, without a word."""
        raise SystemExit(exit_code)


def agreed(world: World, what: str, value: Any, advice: str) -> None:
    """Raise `UserError`, in all processes, unless they all have the same ``value``."""
    values = world.exchange(value)
    for rank, other in enumerate(values):
        if other != values[0]:
            raise UserError(f"{what} differs between process 0 and process {rank}; {advice}")
