"""Time and memory on the GPU."""

from collections.abc import Callable
from typing import Any, Protocol

from minispiral.kernels.cuda.launch import Array

FLUSHED = 256 * 2**20  # bytes written between two measurements: more than any GPU's L2 cache


class Clock(Protocol):
    """Times what is launched."""

    def seconds(
        self, run: Callable[[], object], repeats: int, calls: int = 1, cold: bool = False
    ) -> list[float]:
        """Seconds of one call, ``repeats`` times, each the average over ``calls`` in a row.

        One call, for compiling, is taken before any is timed. With ``cold`` the L2 cache holds
        none of the arrays when the calls begin.
        """

    def copy(self, to: Array, source: Array) -> None:
        """Copy by the driver."""

    def free(self) -> int:
        """Bytes of the GPU's memory that nobody holds."""

    def facts(self) -> dict[str, Any]:
        """The GPU and what drives it."""


class GpuClock:
    """CUDA's events, on the stream in use."""

    def __init__(self) -> None:
        import cupy

        self.cupy = cupy
        self.flushed: Any = None

    def seconds(
        self, run: Callable[[], object], repeats: int, calls: int = 1, cold: bool = False
    ) -> list[float]:
        event, stream = self.cupy.cuda.Event, self.cupy.cuda.get_current_stream()
        if cold and self.flushed is None:
            self.flushed = self.cupy.empty(FLUSHED, self.cupy.uint8)
        run()
        stream.synchronize()
        pairs = []
        for _ in range(repeats):
            start, stop = event(), event()
            if cold:  # which also gives the host time to launch what comes next
                self.flushed.data.memset_async(0, FLUSHED, stream)
            start.record(stream)
            for _ in range(calls):
                run()
            stop.record(stream)
            pairs.append((start, stop))
        stream.synchronize()
        elapsed = self.cupy.cuda.get_elapsed_time
        return [elapsed(start, stop) / 1e3 / calls for start, stop in pairs]

    def copy(self, to: Array, source: Array) -> None:
        stream = self.cupy.cuda.get_current_stream()
        to.data.copy_from_device_async(source.data, source.nbytes, stream)

    def free(self) -> int:
        return int(self.cupy.cuda.runtime.memGetInfo()[0])

    def facts(self) -> dict[str, Any]:
        runtime = self.cupy.cuda.runtime
        found = runtime.getDeviceProperties(self.cupy.cuda.Device().id)
        return {
            "compute_capability": f"{found['major']}.{found['minor']}",
            "multiprocessors": found["multiProcessorCount"],
            "l2_bytes": found["l2CacheSize"],
            "memory_bytes": found["totalGlobalMem"],
            "driver": runtime.driverGetVersion(),
            "runtime": runtime.runtimeGetVersion(),
            "cupy": self.cupy.__version__,
        }
