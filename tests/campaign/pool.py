"""Jobs in processes of their own, each with a limit of time and of memory.

A job hangs when it has taken five seconds of the processor's time, or six times as many of the
clock's, which a busy machine does not reach. A process that dies takes nobody along.

Its memory is what it holds: what has been freed is given back to the system before pages are
counted. Of its own accord glibc keeps freed blocks of up to 32 MB for later, and whatever lies
below a block still in use; after 10,000 damaged pictures that is ten times what is in use.
"""

import ctypes
import multiprocessing
import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from minispiral.errors import UserError

MB = 2**20
SECONDS = 5.0  # of the processor, the longest that a job may take
PATIENCE = 6  # times as many of the clock
ADDRESS_SPACE = 6 * 2**30  # bytes that a process may reserve
WARM_UP = 100  # jobs after which a process has loaded what it needs

# For mallopt of glibc, which raises the threshold as blocks are freed unless it has been set.
M_MMAP_THRESHOLD, MMAP_THRESHOLD = -3, 128 * 1024


@dataclass(frozen=True)
class Outcome:
    """What came of a job: ``trouble`` is the traceback, the hang or the death that it caused."""

    job: Any
    refused: bool = False  # with a `UserError`
    trouble: str | None = None
    seconds: float = 0.0  # of the processor
    memory: int = 0  # bytes that the process held after the job
    lost: bool = False  # the process


def resident() -> int:
    """The resident memory of this process in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def give_large_blocks_back() -> None:
    """Let the C library give large blocks back to the system as soon as they are freed."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # there is none but in glibc
        mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)


def held() -> int:
    """The resident memory in bytes, after all pages on which nothing lies have been given back."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
    return resident()


class Worker:
    """A process that does ``work`` on one job after the other."""

    def __init__(self, work: Callable[[Any], bool]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, work), daemon=True)
        self.process.start()
        theirs.close()
        self.connection.recv()  # started
        self.job: Any = None
        self.memories: list[int] = []

    def give(self, job: Any) -> None:
        """Start on ``job``."""
        self.job, self.began, self.used = job, time.monotonic(), self.processor_time()
        self.connection.send(job)

    def processor_time(self) -> float:
        """Seconds that the process has computed, 0 if it is no more."""
        try:
            text = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii")
        except OSError:
            return 0.0
        fields = text.rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def hangs(self, seconds: float) -> bool:
        """Whether the job has taken too long."""
        spent = time.monotonic() - self.began
        if spent <= seconds:
            return False
        return spent > PATIENCE * seconds or self.processor_time() - self.used > seconds

    def growth(self) -> int:
        """Bytes that the memory grew by after the first jobs: of medians, to be safe of peaks."""
        if len(self.memories) < 3 * WARM_UP:
            return 0
        first = sorted(self.memories[WARM_UP : 2 * WARM_UP])
        last = sorted(self.memories[-WARM_UP:])
        return last[WARM_UP // 2] - first[WARM_UP // 2]

    def end(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(connection: Connection, work: Callable[[Any], bool]) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # decoders complain there
        os.dup2(silent, stream)
    give_large_blocks_back()
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", RuntimeWarning)
    connection.send(None)
    while True:
        job = connection.recv()
        refused, trouble, began = False, None, time.process_time()
        try:
            refused = work(job)
        except UserError:
            refused = True
        except BaseException:
            trouble = traceback.format_exc()
        seconds = time.process_time() - began
        connection.send(Outcome(job, refused, trouble, seconds, held()))


@dataclass
class Pool:
    """``processes`` workers; after `run`, ``growth`` is the most that the memory of one grew by."""

    work: Callable[[Any], bool]
    processes: int = 1
    seconds: float = SECONDS
    growth: int = 0

    def run(self, jobs: Iterable[Any]) -> Iterator[Outcome]:
        """The outcome of each job, as they come."""
        waiting = iter(jobs)
        workers = [Worker(self.work) for _ in range(self.processes)]
        try:
            for worker in list(workers):
                self._next(worker, waiting, workers)
            while workers:
                wait([worker.connection for worker in workers], timeout=0.05)
                for worker in list(workers):
                    outcome = self._outcome(worker)
                    if outcome is None:
                        continue
                    if outcome.lost:
                        self._retire(worker, workers)
                        worker = Worker(self.work)
                        workers.append(worker)
                    yield outcome
                    self._next(worker, waiting, workers)
        finally:
            for worker in workers:
                worker.end()

    def _next(self, worker: Worker, waiting: Iterator[Any], workers: list[Worker]) -> None:
        for job in waiting:
            worker.give(job)
            return
        self._retire(worker, workers)

    def _outcome(self, worker: Worker) -> Outcome | None:
        """What the worker has sent, that it died or takes too long; None while it works."""
        if worker.connection.poll():
            try:
                outcome: Outcome = worker.connection.recv()
            except (EOFError, ConnectionError):
                worker.process.join()
                text = f"the process died ({worker.process.exitcode})"
                return Outcome(worker.job, trouble=text, lost=True)
            worker.memories.append(outcome.memory)
            return outcome
        if worker.hangs(self.seconds):
            text = f"took more than {self.seconds:g} s"
            return Outcome(worker.job, trouble=text, seconds=self.seconds, lost=True)
        return None

    def _retire(self, worker: Worker, workers: list[Worker]) -> None:
        self.growth = max(self.growth, worker.growth())
        workers.remove(worker)
        worker.end()
