"""A worker that takes steps and times layers in PyTorch on the GPU."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bench.common.clock import FLUSHED, Clock, HostClock
from bench.common.layer import Layer
from bench.common.task import Task
from bench.common.worker import Answer, Served
from bench.gpu.guard import guarded
from bench.torch.gradients import write_gradients
from bench.torch.layers import operations
from bench.torch.step import Step

WARM_UP = 3  # steps
GEMM = 8192  # rows and columns of the matrices whose product is timed


def worker(layout: str, compiled: bool = False, device: str = "cuda") -> Served:
    """Answers requests for steps, as `bench.gpu.ours` does, for single layers and for gradients."""
    clock = TorchClock() if device == "cuda" else HostClock()
    return {}, guarded(Theirs(layout, compiled, device, clock), clock.synchronize)


class TorchClock(Clock):
    """CUDA's events, on PyTorch's stream."""

    def __init__(self) -> None:
        self.flushed: Any = None

    def mark(self) -> Any:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def elapsed(self, start: Any, stop: Any) -> float:
        return float(start.elapsed_time(stop)) / 1e3

    def flush(self) -> None:
        if self.flushed is None:
            self.flushed = torch.empty(FLUSHED, dtype=torch.uint8, device="cuda")
        self.flushed.zero_()

    def synchronize(self) -> None:
        torch.cuda.synchronize()


class Theirs:
    """PyTorch in one memory layout; tests run it on the CPU."""

    def __init__(
        self, layout: str, compiled: bool, device: str = "cpu", clock: Clock | None = None
    ) -> None:
        self.layout, self.compiled = layout, compiled
        if compiled:  # after 8 tasks PyTorch would silently go on uncompiled
            torch._dynamo.config.cache_size_limit = 64
        self.device, self.clock = torch.device(device), clock or HostClock()
        self.key: Any = None
        self.step: Callable[[], object] = lambda: None
        self.parameters = 0

    @property
    def on_gpu(self) -> bool:
        return bool(self.device.type == "cuda")

    def __call__(self, request: dict[str, Any]) -> Answer:
        what = request["what"]
        if what == "rest":
            self._forget()
            return {}
        # For convolutions only: changing it for matrix products would recompile compiled code.
        torch.backends.cudnn.allow_tf32 = request["precision"] == "tf32"
        # Not while other work disturbs its timings, which it keeps.
        torch.backends.cudnn.benchmark = request.get("benchmark", True)
        if what == "gradients":
            self._forget()
            given, result = Path(request["given"]), Path(request["result"])
            write_gradients(
                Task(**request["task"]), self.layout, self.device, request["dtype"], given, result
            )
            return {}
        if what == "gemm":
            return self._gemm(request["precision"] == "tf32", request["repeats"])
        if what == "layer":
            return self._layer(Layer(**request["layer"]), request["repeats"])
        task = Task(**request["task"])
        key = task, request["precision"], request["graph"]
        if key != self.key:
            self._forget()
            if self.on_gpu:
                torch.cuda.reset_peak_memory_stats()
            self.step = self._made(task, request["graph"])
            self.key = key
            for _ in range(WARM_UP):
                self.step()
        seconds = self.clock.seconds(self.step, 1, calls=request["count"])
        reserved = torch.cuda.max_memory_reserved() if self.on_gpu else 0
        return {"step": seconds[0], "bytes": reserved, "parameters": self.parameters}

    def _forget(self) -> None:
        self.step, self.key = lambda: None, None
        self.clock.synchronize()
        if self.on_gpu:
            torch.cuda.empty_cache()

    def _made(self, task: Task, graph: bool) -> Callable[[], object]:
        step = Step(task, self.layout, self.compiled, self.device, capturable=graph)
        self.parameters = step.parameters
        return self._captured(step) if graph else step

    def _captured(self, step: Callable[[], object]) -> Callable[[], object]:
        """The step as one CUDA graph, captured as PyTorch's documentation says."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.empty_cache()  # the graph has memory of its own
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        replay: Callable[[], object] = graph.replay
        return replay

    def _layer(self, layer: Layer, repeats: int) -> Answer:
        runs = operations(layer, self.layout, self.device)
        with torch.no_grad():
            return {name: self.clock.seconds(run, repeats, cold=True) for name, run in runs.items()}

    def _gemm(self, tf32: bool, repeats: int) -> Answer:
        torch.backends.cuda.matmul.allow_tf32 = tf32
        side = GEMM if self.on_gpu else 64
        a, b = (torch.randn((side, side), device=self.device) for _ in range(2))
        return {"seconds": self.clock.seconds(lambda: a @ b, repeats), "amount": 2 * side**3}
