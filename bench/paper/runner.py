"""Train the cells of a table, several at a time, each in a process; stop and resume them."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.common.worker import ROOT
from bench.paper.cell import scores_file
from minispiral.cli.progress import TerminalReporter
from minispiral.errors import UserError
from minispiral.networks.describe import describe
from minispiral.training.config import TrainConfig
from minispiral.training.interrupt import StopRequest, stop_requests

PATIENCE = 60.0  # seconds a process has to stop in before it is killed


@dataclass
class Cell:
    """One training with all its options, its run folder, and the photographs to score it on.

    ``step`` is the step reached.
    """

    name: str
    run: Path
    data: Path
    config: Mapping[str, Any]
    step: int = 0

    def is_finished(self) -> bool:
        """Whether the scores exist; `UserError` if they were made with other options."""
        scores = scores_file(self.run, self.data.name)
        if not scores.exists():
            return False
        found = json.loads(scores.read_text(encoding="utf-8"))["config"]
        wanted = TrainConfig.from_dict(self.config).as_dict()
        differing = [name for name, value in found.items() if wanted[name] != value]
        if differing:
            raise UserError(
                f"{self.run} was trained with another {differing[0]}; remove it or give another "
                "folder with --runs."
            )
        return True

    @property
    def macs(self) -> int:
        """Multiply-accumulates per patch, from which the time left is estimated."""
        names = ("network", "depths", "connection", "width")
        options = {name: self.config[name] for name in names if name in self.config}
        return describe(**options, side=self.config.get("patch", 255)).macs


class CellFailed(Exception):
    """A cell ended without scores."""


class StoppedByUser(Exception):
    """The user asked to stop, by the signal ``signum``."""

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(signum)


def run_cells(
    title: str, cells: Sequence[Cell], steps: int, jobs: int, report: TerminalReporter
) -> None:
    """Train and score the cells that are not finished, ``jobs`` at a time.

    The processes share the cores equally. The largest networks come first, so that the processes
    finish at about the same time. A cell that fails is reported, and the others go on.

    Raises `UserError` if any failed and `StoppedByUser` after Ctrl-C; what was trained is kept.
    """
    threads = max((os.cpu_count() or 1) // jobs, 1)
    costs = {id(cell): cell.macs for cell in cells}
    todo = sorted((c for c in cells if not c.is_finished()), key=lambda c: -costs[id(c)])
    if len(todo) < len(cells):
        report.message(f"{len(cells) - len(todo)} of {len(cells)} cells are finished already.")
    failed: list[str] = []
    done, began = len(cells) - len(todo), time.monotonic()
    total = steps * sum(costs[id(cell)] for cell in todo)
    before: dict[int, int] = {}  # steps of earlier invocations, by cell

    def show() -> None:
        work = left = 0
        for cell in todo:
            if cell.step:
                before.setdefault(id(cell), cell.step - 1)
            work += costs[id(cell)] * (cell.step - before.get(id(cell), 0))
            left += costs[id(cell)] * (steps - cell.step)
        seconds = (time.monotonic() - began) * left / work if work else 0.0
        at = ", ".join(f"{c.name} {c.step}/{steps}" for c in todo if 0 < c.step < steps)
        note = f"{1 - left / total:.0%}  {timedelta(seconds=round(seconds))} left  {at}"
        report.show(title, done, len(cells), note if work else "starting")

    with stop_requests() as stop, ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(_train, cell, threads, stop): cell for cell in todo}
        while waiting:
            ready = wait(waiting, timeout=0.3, return_when=FIRST_COMPLETED).done
            for future in ready:
                cell = waiting.pop(future)
                cell.step = steps
                done += 1
                try:
                    future.result()
                except CellFailed as error:
                    failed.append(cell.name)
                    report.message(f"{cell.name}: {error}")
                else:
                    if stop.signum is None:
                        report.message(f"{cell.name}: done")
            if stop.signum is None:
                show()
    if stop.signum is not None:
        raise StoppedByUser(stop.signum)
    if failed:
        raise UserError(
            f"{len(failed)} of {len(cells)} cells failed, first {failed[0]}; the table is written "
            "without them. Run the command again to try once more."
        )


def _train(cell: Cell, threads: int, stop: StopRequest) -> None:
    """Train one cell in a process of its own, which is terminated on a request to stop."""
    if stop.signum is not None:
        return
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.paper.cell"],
        cwd=ROOT,
        env=os.environ | {"MINISPIRAL_THREADS": str(threads)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C in the terminal is to reach it through this process only
    )
    assert process.stdin is not None
    assert process.stdout is not None
    job = {"run": str(cell.run), "data": str(cell.data), "config": cell.config}
    ended = threading.Event()
    watch = threading.Thread(target=_stop_when_asked, args=(process, stop, ended))
    watch.start()
    error = None
    try:
        with process:
            process.stdin.write(json.dumps(job))
            process.stdin.close()
            for line in process.stdout:
                said = json.loads(line)
                cell.step = said.get("step", cell.step)
                error = said.get("error", error)
            assert process.stderr is not None
            trace = process.stderr.read().strip().splitlines()
    finally:
        ended.set()
        watch.join()
    if process.returncode and stop.signum is None:
        raise CellFailed(error or (trace[-1] if trace else f"exit code {process.returncode}"))


def _stop_when_asked(
    process: subprocess.Popen[str], stop: StopRequest, ended: threading.Event
) -> None:
    """Terminate the process when asked to stop, and kill it if it takes too long."""
    while not ended.wait(0.1):
        if stop.signum is not None:
            process.terminate()
            if not ended.wait(PATIENCE):
                process.kill()
            return
