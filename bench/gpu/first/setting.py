"""What the stages measure: the full sizes, or tiny ones for a rehearsal without a GPU."""

import importlib.util
import json
import os
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bench.common.engines import EAGER
from bench.common.task import Task
from bench.common.worker import Worker
from bench.gpu.session import WorkerSession, part

TINY = Task(batch=2, side=15, width=0.125, depths=2)
# Runs the kernels in a rehearsal. It is named in words: nothing here imports the tests.
STAND_IN = "tests.cuda_on_cpu.rehearsal:gpu"


@dataclass(frozen=True)
class Setting:
    """Sizes, and what runs the kernels if no GPU does."""

    out: str  # the folder of the log
    task: Task = field(default_factory=lambda: Task(batch=32))
    tiny: Task = TINY
    photo: tuple[int, int] = (3678, 5472)
    shrink: int = 1  # of the ceilings
    repeats: int = 3
    seed: int = 0
    stand_in: str | None = None
    patience: float = 40.0  # seconds for an answer

    @property
    def folder(self) -> Path:
        return Path(self.out)

    def open(self, name: str, patience: float | None = None) -> WorkerSession:
        """A session with the worker of a part."""
        options = {"stand_in": self.stand_in} if self.stand_in else {}
        return part(name, patience or self.patience, **options)

    def torch(self, layout: str, compiled: bool = False, patience: float = 60.0) -> WorkerSession:
        """A session with PyTorch, on the CPU if there is a stand-in for the GPU."""
        device = "cpu" if self.stand_in else "cuda"
        options = {"layout": layout, "compiled": compiled, "device": device}
        return WorkerSession(partial(Worker, "torch.gpu", patience=patience, **options))

    @property
    def layouts(self) -> list[str]:
        return [form.layout for form in EAGER]

    @property
    def threads(self) -> int:
        """Of processes that compile or run single kernels beside each other."""
        return max(1, min(8, (os.cpu_count() or 1) // 2))

    def dumped(self) -> str:
        return json.dumps(asdict(self))


def loaded(text: str) -> Setting:
    """The inverse of `Setting.dumped`."""
    found: dict[str, Any] = json.loads(text)
    for name in ("task", "tiny"):
        found[name] = Task(**found[name])
    found["photo"] = tuple(found["photo"])
    return Setting(**found)


def rehearsal(out: Path) -> Setting:
    """Tiny sizes, on a machine without a GPU."""
    return Setting(str(out), task=TINY, photo=(70, 90), shrink=2**12, repeats=1, stand_in=STAND_IN)


def without(package: str) -> str | None:
    """Why a stage that needs a package is skipped; None where it is installed."""
    found = importlib.util.find_spec(package) is not None
    return None if found else f"{package} is not installed"
