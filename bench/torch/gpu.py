"""``python -m bench.gpu.theirs``: the same steps and layers in PyTorch, in one memory layout."""

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch

from bench.common.layer import Layer
from bench.common.task import CRACK, Task
from bench.torch.cpu import LAYOUTS
from bench.gpu.worker import guarded
from bench.torch.layers import operations
from bench.torch.networks import network_of, pseudo_f1_grad
from bench.common.worker import serve

WARM_UP = 3
GEMM = 8192  # rows and columns of the matrices whose product is timed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--layout", choices=LAYOUTS, required=True)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    theirs = Theirs(options.layout, options.compile, options.device)
    serve({}, guarded(theirs, theirs.synchronize))


class Theirs:
    """Answers requests as `bench.gpu.ours` does, and those for single layers."""

    def __init__(self, layout: str, compiled: bool, device: str) -> None:
        self.format, self.compiled = LAYOUTS[layout], compiled
        if compiled:  # after 8 of the tasks PyTorch would go on uncompiled, and not say so
            torch._dynamo.config.cache_size_limit = 64
        self.device = torch.device(device)
        self.flushed: Any = None
        self.key: Any = None
        self.step: Callable[[], object] = lambda: None
        self.parameters = 0

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        what = request["what"]
        if what == "rest":
            self._forget()
            return {}
        self._set_precision(request["precision"])
        # Not while other work disturbs what it times, and it remembers what it found.
        torch.backends.cudnn.benchmark = request.get("benchmark", True)
        if what == "gemm":
            return self._gemm(request["precision"] == "tf32", request["repeats"])
        if what == "layer":
            return self._layer(Layer(**request["layer"]), request["repeats"])
        task = Task(**request["task"])
        key = task, request["precision"], request["graph"]
        if key != self.key:
            self._forget()
            if self.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            self.step = self._made(task, request["graph"])
            self.key = key
            for _ in range(WARM_UP):
                self.step()
        seconds = self._seconds(self.step, 1, calls=request["count"])
        reserved = torch.cuda.max_memory_reserved() if self.device.type == "cuda" else 0
        return {"step": seconds[0], "bytes": reserved, "parameters": self.parameters}

    def synchronize(self) -> None:
        """Wait for all that was launched; raises if the GPU answers nothing any more."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _set_precision(self, precision: str) -> None:
        """Of convolutions: code compiled for one setting of matrix products would be recompiled."""
        torch.backends.cudnn.allow_tf32 = precision == "tf32"

    def _forget(self) -> None:
        self.step, self.key = lambda: None, None
        self.synchronize()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _made(self, task: Task, graph: bool) -> Callable[[], object]:
        torch.manual_seed(0)
        network = network_of(task).to(self.device, memory_format=self.format)
        self.parameters = sum(p.numel() for p in network.parameters())
        network.train(task.mode == "train")
        forward = torch.compile(network) if self.compiled else network
        grad = torch.compile(pseudo_f1_grad) if self.compiled else pseudo_f1_grad
        # A graph cannot hold a step count of the host.
        capturable = {"capturable": True} if graph else {}
        adam = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True, **capturable)
        x = torch.empty(task.batch, 3, task.side, task.side, device=self.device).uniform_(-1, 1)
        x = x.contiguous(memory_format=self.format)
        mask = torch.rand((task.batch, 1, task.side, task.side), device=self.device) < CRACK

        def train() -> None:
            adam.zero_grad(set_to_none=True)
            logits = forward(x)
            logits.backward(grad(logits.detach(), mask))
            adam.step()

        def infer() -> None:
            with torch.inference_mode():
                forward(x)

        step = train if task.mode == "train" else infer
        return self._captured(step) if graph else step

    def _captured(self, step: Callable[[], object]) -> Callable[[], object]:
        """The step as one CUDA graph, captured as PyTorch's documentation has it."""
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

    def _layer(self, layer: Layer, repeats: int) -> dict[str, Any]:
        runs = operations(layer, self.format, self.device)
        with torch.no_grad():
            return {name: self._seconds(run, repeats, cold=True) for name, run in runs.items()}

    def _gemm(self, tf32: bool, repeats: int) -> dict[str, Any]:
        torch.backends.cuda.matmul.allow_tf32 = tf32
        side = GEMM if self.device.type == "cuda" else 64
        a, b = (torch.randn((side, side), device=self.device) for _ in range(2))
        return {"seconds": self._seconds(lambda: a @ b, repeats), "amount": 2 * side**3}

    def _seconds(
        self, run: Callable[[], object], repeats: int, calls: int = 1, cold: bool = False
    ) -> list[float]:
        """As `bench.gpu.clock.GpuClock` measures them."""
        run()
        if self.device.type == "cpu":
            found = []
            for _ in range(repeats):
                start = time.perf_counter()
                for _ in range(calls):
                    run()
                found.append((time.perf_counter() - start) / calls)
            return found
        if cold and self.flushed is None:
            self.flushed = torch.empty(256 * 2**20, dtype=torch.uint8, device=self.device)
        torch.cuda.synchronize()
        pairs = []
        for _ in range(repeats):
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            if cold:
                self.flushed.zero_()
            start.record()
            for _ in range(calls):
                run()
            stop.record()
            pairs.append((start, stop))
        torch.cuda.synchronize()
        return [start.elapsed_time(stop) / 1e3 / calls for start, stop in pairs]


if __name__ == "__main__":
    main()
