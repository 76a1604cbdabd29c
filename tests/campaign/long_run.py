"""Many steps of a tiny network, with rows, validations and checkpoints: memory must not grow."""

import multiprocessing
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minispiral.data.synth import write_dataset
from minispiral.training.config import TrainConfig
from minispiral.training.loop import train
from minispiral.training.reporter import Reporter
from tests.campaign.pool import MB, resident

STEPS = 20_000
GROWTH = 8 * MB  # of resident memory, from a tenth of the steps to the last

Report = Callable[[str], None]


def run(scale: float, report: Report, seed: int = 0) -> dict[str, Any]:
    """Train for ``scale`` times 20,000 steps in a process of its own."""
    steps = max(200, round(STEPS * scale))
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool, tempfile.TemporaryDirectory(prefix="minispiral-") as folder:
        used = pool.apply(_train, (folder, steps, seed))
    early, late = used[0], used[-1]
    growth = max(state["resident"] for state in used[1:]) - early["resident"]
    failures = []
    if growth > GROWTH:
        failures.append(f"memory grew by {growth / MB:.1f} MB from step {steps // 10} to {steps}")
    for what in ("files", "threads"):
        if late[what] > early[what]:
            failures.append(f"{early[what]} open {what} at step {steps // 10}, then {late[what]}")
    result = {
        "steps": steps,
        "resident_mb": [round(state["resident"] / MB, 1) for state in used],
        "growth_mb": round(growth / MB, 1),
    }
    report(f"long run: {result}, {len(failures)} failures")
    return {**result, "failures": failures}


class Watch(Reporter):
    """Notes what the process uses after each tenth of the steps."""

    def __init__(self, steps: int) -> None:
        self.tenth = steps // 10
        self.used: list[dict[str, int]] = []

    def stepped(self, step: int, loss: float | None, f1: float | None) -> None:
        if step % self.tenth == 0:
            files = len(os.listdir("/proc/self/fd"))
            threads = threading.active_count()
            self.used.append({"resident": resident(), "files": files, "threads": threads})


def _train(folder: str, steps: int, seed: int) -> list[dict[str, int]]:
    data = Path(folder, "data")
    write_dataset(data, photos=6, size=(96, 72), seed=seed)
    config = TrainConfig(
        data=data,
        val=data,
        depths=(1, 2),
        width=0.05,
        patch=31,
        batch=2,
        steps=steps,
        seed=seed,
        log_every=20,
        validate_every=max(1, steps // 100),
        checkpoint_every=max(1, steps // 200),
    )
    watch = Watch(steps)
    train(config, Path(folder, "run"), report=watch)
    return watch.used
