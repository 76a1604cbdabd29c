"""Time, of what runs at once and of what is launched and runs later."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

FLUSHED = 256 * 2**20  # bytes written between two measurements: more than any GPU's L2 cache


class Clock(ABC):
    """Marks moments among what is launched."""

    def seconds(
        self, run: Callable[[], object], repeats: int, calls: int = 1, cold: bool = False
    ) -> list[float]:
        """Seconds of one call, ``repeats`` times, each the average over ``calls`` in a row.

        Before any is timed there is one call to compile. With ``cold`` the L2 cache holds none of
        the arrays when the calls begin.
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
        """The moment at which all that was launched so far is done."""

    @abstractmethod
    def elapsed(self, start: Any, stop: Any) -> float:
        """Seconds from one moment to another."""

    @abstractmethod
    def flush(self) -> None:
        """Displace everything from the L2 cache."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until all that was launched is done; raises if the GPU no longer answers."""


class HostClock(Clock):
    """For what runs at once; it knows of no cache."""

    def mark(self) -> float:
        return time.perf_counter()

    def elapsed(self, start: float, stop: float) -> float:
        return stop - start

    def flush(self) -> None:
        pass

    def synchronize(self) -> None:
        pass
