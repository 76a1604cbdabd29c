"""Timing, both of what runs at once and of what is launched to run later."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

# Bytes written between two measurements: far more than any GPU's L2 cache, since meanwhile the host
# has to launch all that is timed. At 3 TB/s that is a third of a millisecond.
FLUSHED = 2**30


class Clock(ABC):
    """Times calls by marking moments before and after them."""

    def seconds(
        self, run: Callable[[], object], repeats: int, calls: int = 1, cold: bool = False
    ) -> list[float]:
        """Seconds of one call, ``repeats`` times, each the average over ``calls`` in a row.

        One call before them is not timed: it may compile. With ``cold`` the L2 cache is flushed
        before the calls.
        """
        run()
        self.synchronize()
        moments = []
        for _ in range(repeats):
            if cold:  # which also gives the host time to launch what comes next
                self.flush()
            start = self.mark()
            for _ in range(calls):
                run()
            moments.append((start, self.mark()))
        self.synchronize()
        return [self.elapsed(start, stop) / calls for start, stop in moments]

    @abstractmethod
    def mark(self) -> Any:
        """The moment when everything launched so far is done."""

    @abstractmethod
    def elapsed(self, start: Any, stop: Any) -> float:
        """Seconds from one moment to another."""

    @abstractmethod
    def flush(self) -> None:
        """Flush the L2 cache."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait for everything launched so far; raises if the GPU no longer answers."""


class HostClock(Clock):
    """For what runs at once; it flushes nothing."""

    def mark(self) -> float:
        return time.perf_counter()

    def elapsed(self, start: float, stop: float) -> float:
        return stop - start

    def flush(self) -> None:
        pass

    def synchronize(self) -> None:
        pass
