"""Work of which the processes of an MPI communicator take turns."""

from collections.abc import Callable
from typing import Generic, TypeVar

from mpi4py import MPI

T = TypeVar("T")


class Turns(Generic[T]):
    """One call of `World.collect`: what this process has done, and what it has heard of others.

    A result is sent to the first process as soon as it is there, and the index of work that failed
    to everybody, so that nobody goes on with what comes after it. ``own`` are the indices of this
    process.
    """

    def __init__(
        self, communicator: MPI.Comm, own: range, arrived: Callable[[int, T], None] | None
    ) -> None:
        self.communicator, self.own, self.arrived = communicator, own, arrived
        self._done: list[T] = []
        self._failure: tuple[int, Exception] | None = None
        self._lowest_failure = own.stop  # of all processes, as far as it is known
        self._sent: list[MPI.Request] = []
        self._heard = [0] * communicator.size  # messages of each process

    def take(self, work: Callable[[int], T]) -> None:
        """Do this process's work, as long as none before it is known to have failed."""
        rank = self.communicator.rank
        for i in self.own:
            try:
                self.listen()
                if i > self._lowest_failure:
                    break
                result = work(i)
                self._done.append(result)
                if rank == 0:
                    self._tell(i, result)
                else:
                    self._sent.append(self.communicator.isend((i, result), 0))
            except Exception as error:
                self._failure = i, error
                others = (other for other in range(self.communicator.size) if other != rank)
                self._sent += [self.communicator.isend((i,), other) for other in others]
                break

    def listen(self) -> None:
        """Take in the messages that have come."""
        status = MPI.Status()
        while self.communicator.iprobe(status=status):
            self._receive(status.source)

    def results(self, count: int) -> list[T]:
        """The results of all processes, once all have done their work; raises the first error."""
        parts = self.communicator.allgather((self._done, self._failure))
        rank = self.communicator.rank
        for other, (done, failure) in enumerate(parts):
            sent = (failure is not None) + (len(done) if rank == 0 else 0)
            while other != rank and self._heard[other] < sent:
                self._receive(other)
        MPI.Request.waitall(self._sent)
        parts[rank] = self._done, self._failure  # whose error has a traceback
        if failures := [failure for _, failure in parts if failure is not None]:
            raise min(failures, key=lambda failure: failure[0])[1]
        return [parts[i % len(parts)][0][i // len(parts)] for i in range(count)]

    def _tell(self, i: int, result: T) -> None:
        if self.arrived:
            self.arrived(i, result)

    def _receive(self, other: int) -> None:
        """Take in a message: ``(i, result)``, or ``(i,)`` of work that failed."""
        i, *result = self.communicator.recv(source=other)
        self._heard[other] += 1
        if result:
            self._tell(i, *result)
        else:
            self._lowest_failure = min(self._lowest_failure, i)
