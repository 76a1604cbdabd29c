"""``mpiexec -n 2 minispiral train`` of which one process is killed at a random moment, and resumed.

SIGKILL comes at a moment drawn uniformly from the duration of an undisturbed run, start-up
included. Within ten seconds the job must be over, mpiexec have failed, and every file that is there
be whole. Every other run is resumed by two processes again and must end with the bits of the
undisturbed one; the rest by one or by three, and must end with its weights as far as float32 tells.
"""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from minispiral.data.synth import write_dataset
from minispiral.runs.checkpoint import load
from tests.launch import mpiexec
from tests.resume.experiment import differences, finish, half_files, start, train_command

KILLS = 20
STEPS = 40
PROCESSES = 2
OVER = 10.0  # seconds from the kill to the end of the job
# Of the largest weight of a tensor. Other processes round otherwise, which comes to 1e-4 in 40
# steps; a step left out, or taken twice, changes weights by 1e-2 and more.
TOLERANCE = 2e-3

Report = Callable[[str], None]


def run(scale: float, report: Report, seed: int = 0) -> dict[str, Any]:
    """Kill a process of ``scale`` times 20 runs, one at least."""
    program = mpiexec()
    if program is None:
        return {"failures": [], "killed": "none: mpiexec or mpi4py is not installed here"}
    rng = np.random.default_rng(seed)
    failures: list[str] = []
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory(prefix="minispiral-") as name:
        folder = Path(name)
        write_dataset(folder / "data", photos=6, size=(96, 72), seed=seed)

        def command(run: str, processes: int) -> list[str]:
            words = train_command(folder / "data", folder / run, STEPS, seed)
            return [program, "-n", str(processes), *words]

        began = time.monotonic()
        finish(start(command("undisturbed", PROCESSES)))
        duration = time.monotonic() - began
        count = max(1, round(KILLS * scale))
        for k in range(2 * count):
            if sum(trial.killed for trial in trials) == count:  # some had ended before
                break
            others = PROCESSES if k % 2 == 0 else (1, 3)[k // 2 % 2]
            trial = Trial(float(rng.uniform(0, duration)), int(rng.integers(PROCESSES)), others)
            trials.append(trial)
            trial.take(command(f"run-{k}", PROCESSES), folder / f"run-{k}")
            if not trial.killed:
                duration = trial.moment  # the machine is less busy than it was
            trial.resume(command(f"run-{k}", others), folder / f"run-{k}", folder / "undisturbed")
            failures += [f"kill {k}: {fault}" for fault in trial.faults]
            report(f"ranks: {trial}")
    return {
        "killed": sum(trial.killed for trial in trials),
        "longest end in seconds": max(trial.seconds for trial in trials),
        "other number of processes": sum(trial.processes != PROCESSES for trial in trials),
        "its largest difference": max(trial.difference for trial in trials),
        "failures": failures,
    }


class Trial:
    """One kill: of which process and when, how the job ended, and what was wrong."""

    def __init__(self, moment: float, rank: int, processes: int) -> None:
        self.moment, self.rank, self.processes = moment, rank, processes
        self.killed = False
        self.seconds = self.difference = 0.0
        self.saved: int | None = None
        self.faults: list[str] = []

    def __str__(self) -> str:
        return (
            f"process {self.rank} after {self.moment:.1f} s, over in {self.seconds:.1f} s, saved "
            f"step {self.saved}, resumed by {self.processes}: {self.faults or 'well'}"
        )

    def take(self, command: list[str], run: Path) -> None:
        """Train, kill the process, wait for the job to end and look at its files."""
        started = time.monotonic()
        job = start(command)
        with suppress(subprocess.TimeoutExpired):
            job.wait(self.moment)
        while job.poll() is None and (victim := self._victim(job)) is None:
            time.sleep(0.01)
        if job.poll() is None and victim is not None:
            os.kill(victim, signal.SIGKILL)
            self.killed = True
        self.moment = time.monotonic() - started
        began = time.monotonic()
        try:
            messages = job.communicate(timeout=OVER)[1]  # all processes have let go of the pipe
        except subprocess.TimeoutExpired:
            self.faults.append(f"the job was not over after {OVER:.0f} s")
            job.kill()
            return
        self.seconds = round(time.monotonic() - began, 2)
        if self.killed and job.returncode == 0:
            self.faults.append("mpiexec succeeded")
        if "Traceback" in messages:
            self.faults.append(f"the other processes complained: {messages[-400:]}")
        self.faults += half_files(run)
        if (run / "last.safetensors").exists():
            self.saved = load(run / "last.safetensors").step

    def resume(self, command: list[str], run: Path, undisturbed: Path) -> None:
        """Train to the end, and compare with the run that nobody disturbed."""
        try:
            finish(start([*command, "--resume"]))
        except RuntimeError as error:
            self.faults.append(str(error))
            return
        self.faults += [f"left {path.name}" for path in run.glob(".*.part")]
        if self.processes == PROCESSES:
            self.faults += differences(run, undisturbed)
            return
        one, other = (load(folder / "last.safetensors") for folder in (run, undisturbed))
        if (one.step, one.random_state) != (other.step, other.random_state):
            self.faults.append("another step or random state")
        for name in (name for name in one.tensors if name.startswith("network.")):
            a, b = one.tensors[name], other.tensors[name]
            apart = float(np.abs(a - b).max() / np.abs(b).max())
            self.difference = max(self.difference, apart)
        if not self.difference < TOLERANCE:
            self.faults.append(f"weights differ by {self.difference:.1e} of the largest")

    def _victim(self, job: "subprocess.Popen[str]") -> int | None:
        """The number of the process with this rank, if it has been started."""
        for pid in _descendants(job.pid):
            try:
                environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            except OSError:  # it has ended
                continue
            if f"PMI_RANK={self.rank}".encode() in environment:
                return pid
        return None


def _descendants(parent: int) -> list[int]:
    """All processes below one, by their numbers."""
    below: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        below.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = list(below.get(parent, []))
    for pid in found:
        found += below.get(pid, [])
    return found
