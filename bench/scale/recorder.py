"""A process that takes a step as one of many, alone, and notes what it would exchange."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.distributed import World

Array = NDArray[Any]

PURPOSES = {  # of a gather, by the function that asks for it
    "merge_moments": "batch norm, forward",
    "normalize_grad": "batch norm, backward",
    "sums": "loss",
    "add_batch": "totals",
}
GATHER, SUM, WAIT = "gather", "sum", "wait"


@dataclass(frozen=True)
class Event:
    """Something exchanged, ``at`` seconds of computing after the beginning of the step.

    ``kind`` is a gather of ``bytes`` from each process, the start of a sum of ``bytes`` over the
    processes, or the wait for it. ``purpose`` says what a gather is for.
    """

    kind: str
    at: float
    bytes: int
    purpose: str = ""


@dataclass
class Recording:
    """The events of a step, and the seconds of computing in all of it."""

    events: list[Event] = field(default_factory=list)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> "Recording":
        """The inverse of `as_dict`."""
        return cls([Event(**event) for event in found["events"]], found["seconds"])

    def gathers(self) -> dict[str, tuple[int, int]]:
        """Number and bytes of the gathers, from each process, by purpose."""
        found: dict[str, tuple[int, int]] = {}
        for event in self.events:
            if event.kind == GATHER:
                number, size = found.get(event.purpose, (0, 0))
                found[event.purpose] = number + 1, size + event.bytes
        return found

    @property
    def buckets(self) -> list[int]:
        """Bytes of each sum of gradients."""
        return [event.bytes for event in self.events if event.kind == SUM]


class Recorder(World):
    """One of ``size`` processes, of which all others would send what this one does.

    So a step on n patches has the numbers of a batch of ``size * n``, in which each comes so often.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._recording: Recording | None = None
        self._start = 0.0

    @contextmanager
    def recording(self) -> Iterator[Recording]:
        """Inside this context events are noted; the recording is complete after it."""
        recording = self._recording = Recording()
        self._start = time.perf_counter()
        yield recording
        recording.seconds = time.perf_counter() - self._start
        self._recording = None

    def gather(self, values: Array) -> Array:
        asking = sys._getframe(2).f_code.co_name  # beyond `minispiral.kernels.collective`
        self._note(GATHER, values.nbytes, PURPOSES.get(asking, asking))
        return np.stack([values] * self.size)

    def start_sum(self, values: Array) -> Callable[[], None]:
        self._note(SUM, values.nbytes)
        return lambda: self._note(WAIT, values.nbytes)

    def _note(self, kind: str, size: int, purpose: str = "") -> None:
        if self._recording is not None:
            at = time.perf_counter() - self._start
            self._recording.events.append(Event(kind, at, size, purpose))
