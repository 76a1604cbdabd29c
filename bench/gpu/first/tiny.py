"""A tiny network on the GPU beside the same in NumPy: steps launched, captured and replayed."""

import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.common.network import digest, network_of
from bench.common.task import CRACK, Task
from bench.common.worker import Answer, Work
from bench.gpu.around import Around
from bench.gpu.clock import DeviceClock
from bench.gpu.first.log import Put
from bench.gpu.first.setting import Setting
from bench.gpu.session import RequestFailed, Session
from minispiral.device import Device
from minispiral.kernels.arrays import get
from minispiral.kernels.cuda import launch
from minispiral.optim import Adam
from minispiral.training.step import GpuTrainingStep, TrainingStep

# What becomes of each step if one is to be captured.
STEPS = ("launched 1", "launched 2", "captured", "replayed 1", "replayed 2", "replayed 3")
POOL = 2**30  # bytes that a graph's pool is given beforehand if capturing has failed
# The largest relative error of loss and weights after a few steps. In float32 Adam makes a whole
# step of a gradient whose sign alone is known.
LIMITS = {"float64": 1e-9, "float32": 1e-2, "tf32": 5e-2}


class Remembering(Around):
    """A GPU that remembers why recording a graph failed, which training only mentions."""

    def __init__(self, device: launch.Gpu) -> None:
        super().__init__(device)
        self.traceback: str | None = None

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        try:
            recorded: Callable[[], None] = self.device.record(work)
            return recorded
        except Exception:
            self.traceback = traceback.format_exc()
            raise


class Pair:
    """The same steps on the GPU and in NumPy."""

    def __init__(self, task: Task, precision: str, graph: bool) -> None:
        self.task, self.graph = task, graph
        self.device = Device("cuda", "tf32" if precision == "tf32" else "float32")
        dtype = np.float64 if precision == "float64" else np.float32
        on_gpu, on_cpu = (network_of(task, np.random.default_rng(0)) for _ in range(2))
        on_gpu.astype(dtype).to(self.device).train()
        on_cpu.astype(dtype).train()
        self.networks = on_gpu, on_cpu
        self.ours = GpuTrainingStep(on_gpu, Adam(on_gpu.named_parameters()))
        self.numpys = TrainingStep(on_cpu, Adam(on_cpu.named_parameters()))
        self.rng = np.random.default_rng(1)
        # One for all steps: what is uploaded once is kept for the GPU in use.
        self.gpu: Any = Remembering(launch.gpu())

    def step(self) -> Answer:
        """Losses of both, how far the weights are apart, and their bits."""
        shape = (self.task.batch, self.task.side, self.task.side)
        pixels = self.rng.integers(256, size=(*shape, 3), dtype=np.uint8)
        mask = self.rng.random((*shape, 1)) < 20 * CRACK
        mask[0, 0, 0] = True
        self.numpys(pixels, mask)
        with launch.using(self.gpu), self.device.in_use():
            self.ours(pixels, mask)
            if not self.graph:
                self.ours.launched = 0  # so that none is captured
        if self.gpu.traceback is not None:
            return {"failed_capture": self.gpu.traceback}
        losses = [get(step.totals)[0].item() for step in (self.ours, self.numpys)]
        states = [network.state() for network in self.networks]
        error = max(_relative(get(states[0][name]), states[1][name]) for name in states[0])
        return {
            "loss": losses[0],
            "numpy_loss": losses[1],
            "weights_apart": error,
            "digest": digest(self.networks[0])[:16],
            "is_captured": self.ours.graph is not None,
        }


def _relative(found: Any, expected: Any) -> float:
    error = float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))
    return error if np.isfinite(error) else float("inf")


def worker(clock: DeviceClock) -> Work:
    """Takes the next step of a pair, which is made when the first one is asked for."""
    kept: dict[str, Any] = {}

    def work(request: Answer) -> Answer:
        key = request["precision"], request["graph"]
        if request["number"] == 0:
            kept["pair"] = Pair(Task(**request["task"]), *key)
            if request["grown"]:
                grow_pools()
        found: Answer = kept["pair"].step()
        return found

    return work


def grow_pools() -> None:
    """From now on a new memory pool of CuPy has memory, so that capturing need not ask for any."""
    gpu: Any = launch.gpu()
    made = gpu.cupy.cuda.MemoryPool

    def grown(*arguments: Any) -> Any:
        pool = made(*arguments)
        pool.malloc(POOL)  # which is freed into the pool at once
        return pool

    gpu.cupy.cuda.MemoryPool = grown


def stage(setting: Setting, put: Put) -> None:
    """In each precision: launched and captured; if capturing fails, again with a grown pool."""
    for precision in LIMITS:
        launched = _steps(setting, put, precision, graph=False)
        captured = _steps(setting, put, precision, graph=True)
        if captured is None:
            captured = _steps(setting, put, precision, graph=True, grown=True)
        if launched is not None and captured is not None:
            put({"what": "bits", "precision": precision, "same_bits": launched == captured})


def _steps(
    setting: Setting, put: Put, precision: str, graph: bool, grown: bool = False
) -> list[str] | None:
    """The bits after each step; None if not all were taken."""
    item = {"what": "step", "precision": precision, "graph": graph, "grown": grown}
    session: Session = setting.open("first.tiny")
    digests = []
    try:
        for number, of_graph in enumerate(STEPS):
            name = of_graph if graph else f"launched {number + 1}"
            request = {**item, "task": vars(setting.tiny), "number": number}
            try:
                answer = session.ask(**request)
            except RequestFailed as error:
                put({**item, "step": name, **error.as_dict()})
                return None
            if "failed_capture" in answer:
                words = answer["failed_capture"].strip().splitlines()[-1]
                put({**item, "step": name, "error": words, "traceback": answer["failed_capture"]})
                return None
            put({**item, "step": name, **_judged(answer, precision)})
            digests.append(answer["digest"])
    finally:
        session.close()
    return digests


def _judged(answer: Answer, precision: str) -> Answer:
    expected = answer["numpy_loss"]
    apart = abs(answer["loss"] - expected) / max(abs(expected), 1e-30)
    limit = LIMITS[precision]
    names = "loss", "numpy_loss", "weights_apart", "digest", "is_captured"
    right = bool(apart <= limit and answer["weights_apart"] <= limit)
    return {**{name: answer[name] for name in names}, "loss_apart": apart, "right": right}
