"""The time of each kernel within work that is launched one by one."""

from typing import Any

from bench.gpu.around import Around
from bench.gpu.clock import DeviceClock
from minispiral.kernels.cuda import launch
from minispiral.kernels.cuda.table import Kernel

# The host launches more slowly than the GPU computes. So that a kernel's two events do not time the
# host, it is given a lead: after so many launches the GPU flushes its cache so many times, for
# about 20 ms, while the host queues the next ones. A GPU queues about a thousand.
LAUNCHES, FLUSHES = 100, 60


class Timed(Around):
    """A GPU that marks the moments before and after each launch."""

    def __init__(self, device: launch.Gpu, clock: DeviceClock) -> None:
        super().__init__(device)
        self.clock = clock
        self.marks: list[tuple[str, Any, Any]] = []

    def launch(
        self, kernel: Kernel, grid: tuple[int, ...], block: tuple[int, ...], arguments: list[Any]
    ) -> None:
        if len(self.marks) % LAUNCHES == 0:
            self.clock.synchronize()
            for _ in range(FLUSHES):
                self.clock.flush()
        start = self.clock.mark()
        self.device.launch(kernel, grid, block, arguments)
        self.marks.append((kernel.expression, start, self.clock.mark()))

    def kernels(self) -> dict[str, dict[str, Any]]:
        """By kernel the launches, and their milliseconds together; the longest first."""
        self.clock.synchronize()
        found: dict[str, dict[str, Any]] = {}
        for name, start, stop in self.marks:
            of = found.setdefault(name, {"launches": 0, "ms": 0.0})
            of["launches"] += 1
            of["ms"] += 1e3 * self.clock.elapsed(start, stop)
        return dict(sorted(found.items(), key=lambda item: -item[1]["ms"]))
