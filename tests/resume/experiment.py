"""A small network trained on synthetic photographs through the command line, killed and resumed.

It is trained once undisturbed and then once for each kill: SIGKILL at a moment drawn uniformly from
the duration of the undisturbed run, start-up included, then ``--resume``.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from minispiral.data.synth import write_dataset
from minispiral.errors import UserError
from minispiral.runs.checkpoint import load
from tests.small import ROOT

OPTIONS = {
    "--depths": "1-2",
    "--width": "0.1",
    "--patch": "31",
    "--batch": "4",
    "--patches-per-image": "8",
    "--lr": "0.02",
}


@dataclass(frozen=True)
class Trial:
    """One kill: when, in seconds; the step saved by then; and what differed in the end."""

    moment: float
    saved_step: int | None
    differences: list[str]


def train_command(data: Path, run: Path, steps: int, seed: int) -> list[str]:
    """The command that trains for ``steps`` into the folder ``run``."""
    command = [sys.executable, "-m", "minispiral", "train", str(data)]
    options = {"--val": data, "--out": run, "--steps": steps, "--seed": seed, **OPTIONS}
    return [*command, *(str(word) for option in options.items() for word in option)]


def start(command: Sequence[str], stdout: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    """Start a command with this checkout's code; its messages go to a pipe."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for a process that must succeed."""
    _, messages = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"it ended with code {process.returncode}: {messages}")


def differences(one: Path, other: Path) -> list[str]:
    """What differs between two finished runs, wall-clock times aside."""
    found = []
    for name in ("last.safetensors", "best.safetensors"):
        a, b = load(one / name), load(other / name)
        same = a.tensors.keys() == b.tensors.keys() and all(
            x.dtype == b.tensors[key].dtype and x.tobytes() == b.tensors[key].tobytes()
            for key, x in a.tensors.items()
        )
        if not same:
            found.append(f"tensors of {name}")
        if (a.step, a.random_state) != (b.step, b.random_state):
            found.append(f"step or random state of {name}")
        if {**a.progress, "seconds": 0} != {**b.progress, "seconds": 0}:
            found.append(f"progress of {name}")
    if _rows(one) != _rows(other):
        found.append("metrics.csv")
    return found


def _rows(run: Path) -> list[dict[str, str]]:
    """The metrics of a run without their wall-clock time."""
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]


def kill_after(moment: float, process: subprocess.Popen[str]) -> None:
    """SIGKILL the process ``moment`` seconds from now, unless it has ended by then."""
    try:
        process.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        process.kill()
    process.communicate()


def half_files(folder: Path) -> list[str]:
    """The files in ``folder`` that are not whole, unfinished ones with their own names aside.

    Of ``metrics.csv``, which grows line by line, the last line may be cut short.
    """
    found = []
    for path in sorted(folder.glob("**/[!.]*")):
        try:
            match path.suffix:
                case ".json":
                    json.loads(path.read_bytes())
                case ".safetensors":
                    load(path)
                case ".png" | ".jpg":
                    with Image.open(path) as picture:
                        picture.load()
        except FileNotFoundError:  # replaced or renamed meanwhile
            continue
        except Exception as error:  # whatever a damaged file makes its reader raise
            found.append(f"{path} is not whole: {error}")
    return found


def kill_and_resume(
    data: Path, run: Path, undisturbed: Path, moment: float, steps: int, seed: int
) -> Trial:
    """Train in ``run``, SIGKILL after ``moment`` seconds, resume, compare with ``undisturbed``."""
    command = train_command(data, run, steps, seed)
    kill_after(moment, start(command))
    broken = half_files(run)
    try:
        saved_step = load(run / "last.safetensors").step
    except UserError:  # killed before the first checkpoint
        saved_step = None
    finish(start([*command, "--resume"]))
    return Trial(moment, saved_step, broken + differences(run, undisturbed))


def measure(kills: int, steps: int, seed: int) -> bool:
    """Print a row for each kill; return whether every run ended with the undisturbed one's bits."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        data, undisturbed = Path(folder, "data"), Path(folder, "undisturbed")
        write_dataset(data, photos=3, size=(96, 72), seed=0)
        began = time.monotonic()
        finish(start(train_command(data, undisturbed, steps, seed)))
        duration = time.monotonic() - began
        print(f"{steps} steps in {duration:.1f} s, start-up included")
        print("kill  moment (s)  saved step  resumed run")
        identical = 0
        for kill in range(1, kills + 1):
            moment = rng.uniform(0, duration)
            run = Path(folder, f"killed-{kill}")
            trial = kill_and_resume(data, run, undisturbed, moment, steps, seed)
            identical += not trial.differences
            saved = "none" if trial.saved_step is None else trial.saved_step
            outcome = "differs in " + ", ".join(trial.differences)
            outcome = outcome if trial.differences else "bit-identical"
            print(f"{kill:4}  {trial.moment:10.2f}  {saved:>10}  {outcome}", flush=True)
    print(f"{identical} of {kills} killed and resumed runs are bit-identical")
    return identical == kills
