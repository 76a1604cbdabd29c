"""Time and memory on the GPU, by CuPy."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from bench.common.clock import FLUSHED, Clock, HostClock
from minispiral.kernels.cuda import launch
from minispiral.kernels.cuda.launch import Array


class DeviceClock(Clock):
    """A clock that also copies, records and knows the GPU."""

    def recorded(self, run: Callable[[], object]) -> tuple[Callable[[], object], bool]:
        """What ``run`` launches as one graph, and True: the host's time between its launches, which
        exceeds that of a small kernel, is then not timed. ``run`` and False where that fails.
        """

        def launches() -> None:
            run()

        launches()  # compiles
        self.synchronize()
        try:
            return launch.gpu().record(launches), True
        except Exception:
            return run, False

    @abstractmethod
    def copy(self, to: Array, source: Array) -> None:
        """Have the driver copy an array."""

    @abstractmethod
    def free(self) -> int:
        """Bytes of the GPU's memory that are free."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """The GPU and its software."""


class GpuClock(DeviceClock):
    """CUDA's events, on the stream in use."""

    def __init__(self) -> None:
        import cupy

        self.cupy = cupy
        self.flushed: Any = None

    @property
    def stream(self) -> Any:
        return self.cupy.cuda.get_current_stream()

    def mark(self) -> Any:
        event = self.cupy.cuda.Event()
        event.record(self.stream)
        return event

    def elapsed(self, start: Any, stop: Any) -> float:
        return float(self.cupy.cuda.get_elapsed_time(start, stop)) / 1e3

    def flush(self) -> None:
        if self.flushed is None:
            self.flushed = self.cupy.empty(FLUSHED, self.cupy.uint8)
        self.flushed.data.memset_async(0, FLUSHED, self.stream)

    def synchronize(self) -> None:
        self.stream.synchronize()

    def copy(self, to: Array, source: Array) -> None:
        to.data.copy_from_device_async(source.data, source.nbytes, self.stream)

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


class StandInClock(HostClock, DeviceClock):
    """For kernels that run on the CPU, in place of a GPU, though perhaps not at once."""

    def mark(self) -> float:
        self.synchronize()
        return super().mark()

    def synchronize(self) -> None:
        launch.gpu().synchronize()

    def copy(self, to: Array, source: Array) -> None:
        to[...] = source

    def free(self) -> int:
        return 0

    def facts(self) -> dict[str, Any]:
        return {"multiprocessors": 1}
