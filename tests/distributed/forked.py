"""Several processes forked from this one, that speak through pipes.

They start at once with all that this process has compiled, unlike those of mpiexec.
"""

import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from minispiral.distributed import World

SECONDS = 120  # that they may take


class ForkedWorld(World):
    """One of the processes; ``pipes`` lead from the first one to the others, and back."""

    def __init__(self, rank: int, size: int, pipes: "list[Connection]") -> None:
        self.rank, self.size, self.pipes = rank, size, pipes

    def exchange(self, value: Any) -> list[Any]:
        if self.rank > 0:
            self.pipes[0].send(value)
            found: list[Any] = self.pipes[0].recv()
            return found
        values = [value, *(pipe.recv() for pipe in self.pipes)]
        for pipe in self.pipes:
            pipe.send(values)
        return values

    def gather(self, values: np.ndarray) -> np.ndarray:
        return np.stack(self.exchange(values))

    def start_sum(self, values: np.ndarray) -> Callable[[], None]:
        total = np.add.reduce(self.gather(values), 0)

        def wait() -> None:
            values[...] = total  # no earlier than it is waited for

        return wait

    def from_first(self, work: Callable[[], Any]) -> Any:
        value = self.together(work if self.is_first else lambda: None)
        return self.exchange(value)[0]


def in_processes(size: int, work: Callable[[ForkedWorld], Any]) -> list[Any]:
    """What ``work`` returns in each of ``size`` processes; AssertionError if one of them fails."""
    context = multiprocessing.get_context("fork")
    pairs = [context.Pipe() for _ in range(1, size)]
    results = []
    for rank in range(size):
        pipes = [near for near, _ in pairs] if rank == 0 else [pairs[rank - 1][1]]
        here, there = context.Pipe(duplex=False)
        world = ForkedWorld(rank, size, pipes)
        process = context.Process(target=_run, args=(work, world, there), daemon=True)
        process.start()
        there.close()
        results.append((here, process))
    for near, far in pairs:
        near.close()
        far.close()
    found = []
    for here, process in results:
        assert here.poll(SECONDS), "a process waits for another one"
        value, error = here.recv()
        assert error is None, error
        process.join()
        found.append(value)
    return found


def _run(work: Callable[[ForkedWorld], Any], world: ForkedWorld, result: "Connection") -> None:
    try:
        result.send((work(world), None))
    except BaseException:
        result.send((None, traceback.format_exc()))
