"""``cupy.cuda``: devices, streams, events and graphs, with the arguments that the library gives."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Self

from .machine import CUDARuntimeError, Queue, machine


class Device:
    def __init__(self, device: int | None = None) -> None:
        self._id = machine().device if device is None else device
        self._before: list[int] = []

    @property
    def id(self) -> int:
        return self._id

    @property
    def compute_capability(self) -> str:
        return machine().capabilities[self.id]

    @property
    def pci_bus_id(self) -> str:
        return f"0000:{self.id:02}:00.0"

    def use(self) -> None:
        machine().device = self.id

    def __enter__(self) -> Self:
        self._before.append(machine().device)
        self.use()
        return self

    def __exit__(self, *error: object) -> None:
        machine().device = self._before.pop()


class Stream:
    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        assert null != non_blocking, "blocking streams wait for the null stream: not done here"
        self.device_id = machine().device
        self.ptr = 0 if null else machine().new_queue()
        if null:
            machine().queues.setdefault(0, Queue())

    @property
    def _queue(self) -> Queue:
        return machine().queues[self.ptr]

    def __enter__(self) -> Self:
        if self.device_id != machine().device:
            raise RuntimeError(
                f"The device that the stream is created on ({self.device_id}) does not match with "
                f"the current device ({machine().device})"
            )
        machine().using[self.device_id].append(self)
        return self

    def __exit__(self, *error: object) -> None:
        machine().using[self.device_id].pop()

    def synchronize(self) -> None:
        self._queue.check_not_capturing()
        machine().finish(self._queue)

    def wait_event(self, event: "Event") -> None:
        marks = event._marks  # of the last record before this call
        self._queue.check_not_capturing()
        self._queue.wait_until(lambda: marks is None or marks.done)

    def begin_capture(self) -> None:
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self._queue.captured is not None:
            raise CUDARuntimeError(401)
        self._queue.captured, self._queue.invalid = [], False

    def end_capture(self) -> "Graph":
        captured, self._queue.captured = self._queue.captured, None
        if captured is None:
            raise CUDARuntimeError(401)
        if self._queue.invalid:
            raise CUDARuntimeError(901)
        return Graph._of(captured)


class Event:
    """Between streams that are not captured; it has no time."""

    def __init__(self, *, disable_timing: bool = False) -> None:
        assert disable_timing
        self._marks: SimpleNamespace | None = None

    def record(self, stream: Stream) -> None:
        stream._queue.check_not_capturing()
        self._marks = marks = SimpleNamespace(done=False)
        stream._queue.add(lambda: setattr(marks, "done", True))

    def synchronize(self) -> None:
        while self._marks is not None and not self._marks.done:
            assert machine().advance(), "an event that nobody reaches"


class Graph:
    _work: list[Callable[[], None]]

    def __init__(self, *arguments: Any) -> None:
        raise NotImplementedError("a graph is made by capturing a stream")

    @classmethod
    def _of(cls, work: list[Callable[[], None]]) -> "Graph":
        made = cls.__new__(cls)
        made._work = work
        return made

    def launch(self, stream: Stream) -> None:
        for work in self._work:
            stream._queue.add(work)


def get_current_stream() -> Stream:
    _check_for_gpus()
    entered = machine().using[machine().device]
    return entered[-1] if entered else Stream(null=True)


def is_available() -> bool:
    return machine().status == 0


def getDeviceCount() -> int:
    _check_for_gpus()
    return len(machine().capabilities)


def getDeviceProperties(device: int) -> dict[str, Any]:
    return {"name": f"Double {device}".encode()}


def driverGetVersion() -> int:
    return machine().driver


def runtimeGetVersion() -> int:
    return machine().runtime


def _check_for_gpus() -> None:
    if machine().status:
        raise CUDARuntimeError(machine().status)
