"""The machine that the double of CuPy sees: its GPUs, its driver, and when streams do their work.

A stream does nothing before it must: what is queued runs when someone waits for it, and with
``rng`` also at any moment between two calls of the host. Both are schedules that CUDA may choose.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..device import CpuDevice

RUNTIME_ERRORS = {
    2: "cudaErrorMemoryAllocation: out of memory",
    35: "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version",
    100: "cudaErrorNoDevice: no CUDA-capable device is detected",
    401: "cudaErrorIllegalState: the operation cannot be performed in the present state",
    803: "cudaErrorSystemDriverMismatch: system has unsupported display driver / cuda driver",
    900: "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing",
    901: "cudaErrorStreamCaptureInvalidated: operation failed due to a previous error during capt",
}
DRIVER_ERRORS = {
    1: "CUDA_ERROR_INVALID_VALUE: invalid argument",
    209: "CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image is available for execution on the device",
}


class CUDARuntimeError(RuntimeError):
    def __init__(self, status: int) -> None:
        super().__init__(RUNTIME_ERRORS[status])
        self.status = status


class CUDADriverError(RuntimeError):
    def __init__(self, status: int) -> None:
        super().__init__(DRIVER_ERRORS[status])
        self.status = status


class Queue:
    """What a stream has still to do, in order; each piece waits until it may begin."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Callable[[], bool], Callable[[], None]]] = deque()
        self.captured: list[Callable[[], None]] | None = None  # while a graph is captured
        self.invalid = False  # what is captured

    def add(self, work: Callable[[], None]) -> None:
        if self.captured is not None:
            self.captured.append(work)
        else:
            self.waiting.append((lambda: True, work))
            machine().pass_time()

    def wait_until(self, ready: Callable[[], bool]) -> None:
        self.waiting.append((ready, lambda: None))

    def can_go_on(self) -> bool:
        return bool(self.waiting) and self.waiting[0][0]()

    def go_on(self) -> None:
        self.waiting.popleft()[1]()

    def check_not_capturing(self) -> None:
        """A synchronous call also makes the capture invalid."""
        if self.captured is not None:
            self.invalid = True
            raise CUDARuntimeError(900)


class Machine:
    """GPUs, of which CUDA has a current one, and the software that CuPy finds.

    ``status`` is what the driver answers when asked for GPUs, ``versions`` are those of CuPy, of
    the CUDA that it is built for, and of the newest that the driver supports; ``archs`` are what
    NVRTC compiles for, ``capabilities`` what the GPUs are, ``memory`` their bytes, all together.
    """

    def __init__(
        self,
        *,
        status: int = 0,
        version: str = "14.2.0",
        runtime: int = 12090,
        driver: int = 13000,
        headers: bool = True,
        nvrtc: bool = True,
        archs: Sequence[int] = (70, 75, 80, 90, 100, 120),
        capabilities: Sequence[str] = ("90",),
        memory: float = np.inf,
        rng: np.random.Generator | None = None,
        reverse: bool = False,
    ) -> None:
        self.status, self.version, self.runtime, self.driver = status, version, runtime, driver
        self.headers, self.nvrtc, self.archs = headers, nvrtc, archs
        self.capabilities, self.memory, self.taken = capabilities, memory, 0
        self.freed: list[object] = []  # until nothing is queued: freeing waits for all streams
        self.rng = rng
        self.executor = CpuDevice(reverse=reverse)
        self.device = 0  # the current one
        self.queues: dict[int, Queue] = {}  # by the address of a stream
        self.using: list[list[Any]] = [[] for _ in capabilities]  # streams entered, by device
        self.allocators: list[Any] = []  # entered

    def new_queue(self) -> int:
        address = 0x5EED0 + len(self.queues)
        self.queues[address] = Queue()
        return address

    def advance(self) -> bool:
        """One piece of work of a stream that may go on; False where none is left."""
        ready = [queue for queue in self.queues.values() if queue.can_go_on()]
        if not ready:
            assert not self.is_busy(), "streams wait for each other"
            return False
        ready[0 if self.rng is None else self.rng.integers(len(ready))].go_on()
        return True

    def pass_time(self) -> None:
        """Seldom enough for streams to fall far behind the host."""
        if self.rng is not None and self.rng.random() < 0.06:
            for _ in range(self.rng.integers(10)):
                self.advance()

    def finish(self, queue: Queue) -> None:
        """Do all work of a stream, and of others only what it waits for."""
        while queue.waiting:
            if queue.can_go_on():
                queue.go_on()
            else:
                assert self.advance(), "a stream waits for what nobody does"

        if not self.is_busy():
            self.freed.clear()

    def is_busy(self) -> bool:
        return any(queue.waiting for queue in self.queues.values())


_machine = Machine()


def machine() -> Machine:
    return _machine


def set_machine(new: Machine) -> Machine:
    """Put another machine in place, and return the one before."""
    global _machine
    before, _machine = _machine, new
    return before
