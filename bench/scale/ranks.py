"""A worker of one process or several, which share the patches of each training step over MPI."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from bench.common.network import network_of, parameters
from bench.common.task import CRACK, Task
from bench.common.worker import Answer, Served, Worker, WorkerError
from bench.scale.recorder import Recorder
from minispiral.distributed import World, world
from minispiral.distributed.sharing import sharing
from minispiral.errors import UserError
from minispiral.kernels.cpu import parallel
from minispiral.optim import Adam
from minispiral.profiling import profile
from minispiral.training.step import TrainingStep


def mpiexec() -> str:
    """The mpiexec beside this Python, else the first one on the path.

    Raises `UserError` if there is none, or no mpi4py.
    """
    beside = Path(sys.executable).with_name("mpiexec")
    program = str(beside) if beside.exists() else shutil.which("mpiexec")
    if program is None or importlib.util.find_spec("mpi4py") is None:
        missing = "mpiexec" if program is None else "mpi4py"
        raise UserError(
            f"several processes are measured with mpiexec and mpi4py, but there is no {missing} "
            "here; install the extra `mpi` (pip install 'minispiral[mpi]')"
        )
    return program


class Job(Worker):
    """Processes on this machine that ``mpiexec`` starts; the first one answers for all.

    Between two requests they are stopped: a process that waits for another would take part of a
    core from whoever is timed meanwhile.
    """

    def __init__(self, processes: int, task: Task, **options: Any) -> None:
        self.launcher = (mpiexec(), "-n", str(processes))
        super().__init__("scale.ranks", task=vars(task), **options)
        self._signal(signal.SIGSTOP)

    def send(self, **request: Any) -> None:
        self._signal(signal.SIGCONT)
        super().send(**request)

    def receive(self) -> Answer:
        answer = super().receive()
        self._signal(signal.SIGSTOP)
        return answer

    def close(self) -> None:
        with suppress(WorkerError, ProcessLookupError, subprocess.TimeoutExpired):
            self.ask(what="end")
            self._signal(signal.SIGCONT)
            self.process.communicate(timeout=10)
        super().close()

    def _signal(self, number: int) -> None:
        """Send a signal to all processes."""
        for pid in self.facts["pids"]:
            os.kill(pid, number)


class Alone(Worker):
    """One process that takes the same steps; with ``others`` a `Recorder` plays so many others."""

    def __init__(self, task: Task, **options: Any) -> None:
        super().__init__("scale.ranks", task=vars(task), **options)


def worker(task: dict[str, Any], threads: int = 1, others: int = 0) -> Served:
    """Takes training steps of ``task``, whose batch the processes share; see `Serving`.

    Processes but the first never return: they do what the first is asked.
    """
    everyone = Recorder(1 + others) if others else world()
    parallel.set_threads(threads)
    serving = Serving(Task(**task), everyone)
    facts = {
        "parameters": parameters(serving.network),
        "threads": parallel.threads(),
        "pids": everyone.exchange(os.getpid()),
    }

    def work(request: dict[str, Any]) -> Answer | None:
        request = everyone.from_first(lambda: request)
        return serving.answers[request.pop("what")](**request)

    while not everyone.is_first:
        work({})
    return facts, work


class Serving:
    """A network in training, and the processes it is trained on; ``answers`` to requests."""

    def __init__(self, task: Task, everyone: World) -> None:
        rng = np.random.default_rng(0)
        self.everyone = everyone
        self.network = network_of(task, rng)
        self.network.train()
        adam = Adam(self.network.named_parameters(), lr=1e-4)
        self.train = TrainingStep(self.network, adam, shared=sharing(everyone, task.batch))
        shape = (task.batch, task.side, task.side)
        own = everyone.share(task.batch)
        part = slice(own.start, own.stop)
        pixels = rng.integers(256, size=(*shape, 3), dtype=np.uint8)
        self.patches = pixels[part], rng.random((*shape, 1))[part] < CRACK
        self.answers: dict[str, Callable[..., Answer]] = {
            "step": self.step,
            "loss": self.loss,
            "profile": self.profile,
            "events": self.events,
            "gather": self.gather,
            "sum": self.sum,
            "end": self.end,
        }

    def step(self, calls: int = 1) -> Answer:
        """Seconds of so many steps, from when all processes are there to begin."""
        return {"seconds": self._timed(lambda: self.train(*self.patches), calls)}

    def loss(self) -> Answer:
        """The loss of one step, of the whole batch."""
        before = self.train.sums().loss_sum
        self.train(*self.patches)
        return {"loss": self.train.sums().loss_sum - before}

    def profile(self) -> Answer:
        """Where the time of a step goes, in each process."""
        self._meet()
        with profile() as p:
            self.train(*self.patches)
        return {"profiles": self.everyone.exchange(p.as_dict())}

    def events(self) -> Answer:
        """What a step exchanges, and when; needs a `Recorder`."""
        assert isinstance(self.everyone, Recorder)
        with self.everyone.recording() as recording:
            self.train(*self.patches)
        return recording.as_dict()

    def gather(self, values: int, calls: int) -> Answer:
        """Seconds of a gather of so many float64 from each process."""
        x = np.zeros(values)
        return {"seconds": self._timed(lambda: self.everyone.gather(x), calls) / calls}

    def sum(self, values: int, calls: int) -> Answer:
        """Seconds of a sum of so many float32 over the processes."""
        x = np.zeros(values, np.float32)
        return {"seconds": self._timed(lambda: self.everyone.start_sum(x)(), calls) / calls}

    def end(self) -> Answer:
        if not self.everyone.is_first:
            sys.exit()
        return {}

    def _timed(self, work: Callable[[], object], calls: int) -> float:
        self._meet()
        start = time.perf_counter()
        for _ in range(calls):
            work()
        self._meet()
        return time.perf_counter() - start

    def _meet(self) -> None:
        """Go on when all processes are here; what waits takes its core, as within a step."""
        self.everyone.gather(np.zeros(1))
