"""``train``, ``detect`` and ``evaluate`` killed at random moments, and run again.

SIGKILL comes at a moment drawn uniformly from the duration of an undisturbed command, start-up
included. Then every file that is there must be whole, the run in use as it was, and the command,
given again, must end with the files or the output of the undisturbed one, bit for bit.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minispiral.data.synth import write_dataset
from tests.resume.experiment import finish, half_files, kill_after, kill_and_resume, start
from tests.resume.experiment import train_command as training
from tests.small import files_of

KILLS = {"train": 70, "detect": 70, "evaluate": 60}
STEPS = 40

Report = Callable[[str], None]


def run(scale: float, report: Report, seed: int = 0) -> dict[str, Any]:
    """Kill ``scale`` times 200 commands, one of each at least."""
    rng = np.random.default_rng(seed)
    failures: list[str] = []
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="minispiral-") as name:
        folder = Path(name)
        data = folder / "data"
        write_dataset(data, photos=6, size=(96, 72), seed=seed)
        trained = folder / "trained"
        began = time.monotonic()
        finish(start(training(data, trained, STEPS, seed)))
        duration = time.monotonic() - began
        trials = {
            "train": lambda k: _train(folder / f"run-{k}", data, trained, rng, duration, seed),
            "detect": Detections(folder, data, trained, rng),
            "evaluate": Evaluations(folder, data, trained, rng),
        }
        for command, trial in trials.items():
            count = max(1, round(KILLS[command] * scale))
            failed = len(failures)
            for k in range(count):
                faults = trial(k)
                failures += [f"{command}, kill {k}: {fault}" for fault in faults]
                for fault in faults:
                    report(f"kills: FAILED {command}, kill {k}: {fault}")
                if (k + 1) % 20 == 0:
                    report(f"kills: {command} {k + 1} of {count}, {len(failures)} failures")
            result[command] = {"killed": count, "failures": len(failures) - failed}
            report(f"kills: {command} {result[command]}")
    return {**result, "failures": failures}


def _train(
    run: Path, data: Path, trained: Path, rng: np.random.Generator, duration: float, seed: int
) -> list[str]:
    moment = float(rng.uniform(0, duration))
    try:
        trial = kill_and_resume(data, run, trained, moment, STEPS, seed)
    except RuntimeError as error:
        return [f"after {moment:.2f} s: {error}"]
    faults = [f"after {moment:.2f} s: {text}" for text in trial.differences]
    faults += [f"left {path.name}" for path in run.glob(".*.part")]
    return faults


class Detections:
    """``detect``: its files are absent or whole, and those of an undisturbed one in the end."""

    def __init__(self, folder: Path, data: Path, run: Path, rng: np.random.Generator) -> None:
        self.folder, self.data, self.run, self.rng = folder, data, run, rng
        self.before = files_of(run)
        began = time.monotonic()
        finish(self.start(folder / "found"))
        self.duration = time.monotonic() - began
        self.expected = files_of(folder / "found")

    def start(self, out: Path) -> subprocess.Popen[str]:
        """The command, started."""
        words = ["detect", self.run, self.data / "images", "--out", out]
        return start([sys.executable, "-m", "minispiral", *map(str, words)])

    def __call__(self, number: int) -> list[str]:
        """Kill one and give it again; what was wrong."""
        out = self.folder / f"found-{number}"
        kill_after(float(self.rng.uniform(0, self.duration)), self.start(out))
        faults = half_files(out)
        for name, content in files_of(out).items():
            if not Path(name).name.startswith(".") and self.expected.get(name) != content:
                faults.append(f"{name} is another file")
        try:
            finish(self.start(out))
        except RuntimeError as error:
            faults.append(str(error))
        if files_of(out) != self.expected:
            faults.append("other files than undisturbed, or unfinished ones left")
        if files_of(self.run) != self.before:
            faults.append("the run has changed")
        return faults


class Evaluations:
    """``evaluate --json``: its output is absent or whole, and nothing is written."""

    def __init__(self, folder: Path, data: Path, run: Path, rng: np.random.Generator) -> None:
        self.folder, self.data, self.run, self.rng = folder, data, run, rng
        self.before = files_of(run), files_of(data)
        began = time.monotonic()
        self.expected = self.output(None)
        self.duration = time.monotonic() - began

    def output(self, moment: float | None) -> str:
        """What the command has printed, killed after ``moment`` seconds."""
        words = ["evaluate", str(self.run), str(self.data), "--json"]
        process = start([sys.executable, "-m", "minispiral", *words], stdout=subprocess.PIPE)
        try:
            return process.communicate(timeout=moment)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            return process.communicate()[0]

    def __call__(self, number: int) -> list[str]:
        """Kill one and give it again; what was wrong."""
        faults = []
        if self.output(float(self.rng.uniform(0, self.duration))) not in ("", self.expected):
            faults.append("half of the output")
        if self.output(None) != self.expected:
            faults.append("another output")
        if (files_of(self.run), files_of(self.data)) != self.before:
            faults.append("files have changed")
        return faults
