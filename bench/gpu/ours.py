"""Steps of minispiral on the GPU: training or inference, launched one by one or as one graph."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from bench.common.network import digest, network_of, parameters
from bench.common.task import CRACK, Task
from bench.common.worker import Answer, Work
from bench.gpu.clock import DeviceClock
from bench.gpu.timed import Timed
from minispiral.device import Device
from minispiral.distributed import World
from minispiral.distributed.gpu import ThroughNccl
from minispiral.distributed.sharing import exchanging
from minispiral.kernels import layout
from minispiral.kernels.cuda import launch
from minispiral.kernels.cuda.tf32 import tf32
from minispiral.optim import Adam
from minispiral.tensor import Tensor, no_grad
from minispiral.training.step import GpuTrainingStep

WARM_UP = 3  # steps, of which the last one captures the graph


class Steps:
    """Steps of one task, precision and way to launch; with ``nccl`` as of one of several GPUs."""

    def __init__(self, task: Task, precision: str, graph: bool, nccl: bool = False) -> None:
        rng = np.random.default_rng(0)
        self.precision = precision
        self.shared = exchanging(ThroughNccl(World()), task.batch) if nccl else nullcontext
        self.network = network_of(task, rng).to(Device("cuda"))
        self.step: GpuTrainingStep | None = None  # of training
        shape = (task.batch, task.side, task.side)
        pixels = rng.integers(256, size=(*shape, 3), dtype=np.uint8)
        mask = rng.random((*shape, 1)) < CRACK
        if task.mode == "train":
            self.run = self._training(pixels, mask, graph)
        else:
            self.run = self._inference(pixels, graph)

    def _training(self, pixels: Any, mask: Any, graph: bool) -> Callable[[], object]:
        adam = Adam(self.network.named_parameters(), lr=1e-4)
        step = GpuTrainingStep(self.network.train(), adam, shared=self.shared)

        def train() -> None:
            step(pixels, mask)
            if not graph:
                step.launched = 0  # so that none is captured

        self.step = step
        return train

    def _inference(self, pixels: Any, graph: bool) -> Callable[[], object]:
        self.network.eval()
        self.pixels = launch.gpu().put(pixels)

        def infer() -> None:
            with no_grad():
                self.logits = self.network(Tensor(layout.scale_pixels(self.pixels, np.float32)))

        if not graph:
            return infer
        with tf32(self.precision == "tf32"):
            infer()  # compiles
            return launch.gpu().record(infer)

    def __call__(self) -> None:
        with tf32(self.precision == "tf32"):
            self.run()


def worker(clock: DeviceClock) -> Work:
    """Answers with the seconds of a step and its memory; with a digest; or with the milliseconds of
    each kernel in a launched step."""
    kept: dict[str, Any] = {}

    def work(request: Answer) -> Answer:
        task, nccl = Task(**request["task"]), request.get("nccl", False)
        key = (task, request["precision"], request["graph"], nccl)
        if kept.get("key") != key:
            kept.clear()
            before = clock.free()
            kept.update(key=key, steps=Steps(*key))
            for _ in range(WARM_UP):
                kept["steps"]()
            launch.gpu().synchronize()
            training = kept["steps"].step
            if request["graph"] and training is not None and training.graph is None:
                kept.clear()
                raise RuntimeError("the step was not captured as a graph; standard error says why")
            kept["bytes"] = before - clock.free()
        steps = kept["steps"]
        if request["what"] == "digest":
            for _ in range(request["count"]):
                steps()
            return {"digest": digest(steps.network)}
        if request["what"] == "kernels":
            watched: Any = Timed(launch.gpu(), clock)
            with launch.using(watched):
                steps()
            return {"kernels": watched.kernels()}
        return {
            "step": clock.seconds(steps, 1, calls=request["count"])[0],
            "bytes": kept["bytes"],
            "parameters": parameters(steps.network),
        }

    return work
