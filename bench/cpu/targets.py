"""What minispiral has to reach on the CPU: a measurement and its checks for each target."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any

from rich.table import Table

from bench.common import text
from bench.common.checks import Check
from bench.common.engines import COMPILED, EAGER, OURS, Form
from bench.common.search import Search
from bench.common.task import Task
from bench.common.worker import ROOT, Worker, WorkerError
from bench.cpu.race import Start, open_workers, race, take_turns, warm_up

MORE = 1.02  # times as much is no more, within what allocators waste


@dataclass(frozen=True)
class Plan:
    """How to measure: how often, how wide the networks, which PyTorch, how large a photograph."""

    repeats: int
    width: float
    search: Search
    torch: bool
    compiled: bool

    @property
    def forms(self) -> tuple[Form, ...]:
        """The forms of PyTorch, none where it is left out."""
        if not self.torch:
            return ()
        return EAGER + COMPILED if self.compiled else EAGER


Found = tuple[dict[str, Any], list[Check]]


def measure(name: str, plan: Plan) -> dict[str, Any]:
    """What was found for the target ``name``."""
    found, checks = TARGETS[name](plan)
    return {
        "repeats": plan.repeats,
        **found,
        "checks": [check.as_dict() for check in checks],
    }


def _race(plan: Plan, task: Task, limit: float) -> Found:
    task = replace(task, width=plan.width)
    found = race(task, plan.repeats, plan.forms, heats=task.batch > 4)
    return found, [Check("time over PyTorch's", found["ratio"], limit)]


def _step_4(plan: Plan) -> Found:
    found, checks = _race(plan, Task(), 0.8)
    theirs = [form["peak_mib"] for form in found["torch"]["forms"].values()]
    memory = found[OURS]["peak_mib"] / min(theirs) if theirs else None
    found["memory_ratio"] = memory
    return found, [
        *checks,
        Check("share of the sgemm peak", found[OURS]["share_of_sgemm"], 0.75, at_least=True),
        Check("peak memory over PyTorch's least", memory, 0.7),
    ]


def _detect(plan: Plan) -> Found:
    """The whole photograph, against the form of PyTorch that is fastest on some tiles of it."""
    search = plan.search._asdict()
    trials: dict[str, float] = {}
    errors: dict[str, str] = {}
    starts: dict[str, Start] = {OURS: partial(Worker, "cpu.detect", search=search)}
    theirs: dict[str, Start] = {
        form.name: partial(Worker, "torch.detect", search=search, **form._asdict())
        for form in plan.forms
    }
    for name, start in theirs.items():
        with open_workers({name: start}) as workers:
            try:
                trials[name] = [workers[name].ask(what="trial")["seconds"] for _ in range(3)][-1]
            except WorkerError as error:
                errors[name] = str(error)
    best = min(trials, key=lambda name: trials[name], default=None)
    if best is not None:
        starts[best] = theirs[best]
    with open_workers(starts) as workers:
        for worker in workers.values():
            worker.ask(what="trial")
        take_turns(workers, -(-plan.repeats // 3))
    results = {
        name: {"seconds": median(worker.seconds), "peak_mib": worker.peak_mib}
        for name, worker in workers.items()
    }
    own = results[OURS]
    other = dict.fromkeys(own) if best is None else results[best]
    ratio = None if best is None else own["seconds"] / results[best]["seconds"]
    found = {
        **search,
        OURS: own,
        "torch": {"best": best, "trial_seconds": trials, "errors": errors, **other},
        "ratio": ratio,
    }
    return found, [Check("time over PyTorch's", ratio, 0.9)]


def _detect_memory(plan: Plan) -> Found:
    """The photograph and one of four times its pixels, each in a fresh process."""
    small = plan.search
    large = small._replace(height=2 * small.height, width=2 * small.width)
    peaks, beyond = [], []
    for search in (small, large):
        start = partial(Worker, "cpu.detect", search=search._asdict())
        with open_workers({OURS: start}) as workers:
            workers[OURS].step()
        peaks.append(workers[OURS].peak_mib)
        held = search.height * search.width * (3 + 4) / 2**20  # the photograph and its map
        beyond.append(peaks[-1] - held)
    found = {
        **small._asdict(),
        "peak_mib": peaks[0],
        "peak_mib_of_four_times_the_pixels": peaks[1],
        "mib_beyond_photograph_and_map": beyond,
    }
    return found, [
        Check("GB at the peak", peaks[0] * 2**20 / 1e9, 1.5),
        Check("GB at the peak for four times the pixels", peaks[1] * 2**20 / 1e9, 1.5),
        Check("growth beyond photograph and map, times", beyond[1] / beyond[0], MORE),
    ]


def _threads(plan: Plan) -> Found:
    """The speed of one thread and of two, and whether they compute the same bits."""
    task = Task(width=plan.width)
    starts: dict[str, Start] = {
        str(n): partial(Worker, "cpu.ours", task=vars(task), threads=n) for n in (1, 2)
    }
    with open_workers(starts) as workers:
        warm_up(workers)
        take_turns(workers, plan.repeats)
        digests = {worker.ask(what="digest")["digest"] for worker in workers.values()}
    one, two = (median(worker.seconds) for worker in workers.values())
    enough = (os.cpu_count() or 1) >= 2
    found = {"width": plan.width, "seconds": {"1": one, "2": two}, "same_bits": len(digests) == 1}
    return found, [
        Check("times as fast with two threads", one / two if enough else None, 1.8, at_least=True),
        Check("results with other bits", float(len(digests) - 1), 0),
    ]


COMMANDS = {
    "python": ["-c", "pass"],
    "import": ["-c", "import minispiral"],
    "help": ["-m", "minispiral", "--help"],
}


def _start_up(plan: Plan) -> Found:
    """The time to import the package and to show the command's help, less Python's own start."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(plan.repeats + 1):
        for name, words in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - start)
    # the first round reads the files from the disk
    medians = {name: median(found[1:]) for name, found in seconds.items()}
    beyond = {name: medians[name] - medians["python"] for name in ("import", "help")}
    return {"seconds": medians, "seconds_beyond_python": beyond}, [
        Check("seconds to import minispiral", beyond["import"], 0.2),
        Check("seconds of minispiral --help", beyond["help"], 0.4),
    ]


TARGETS: dict[str, Callable[[Plan], Found]] = {
    "step-4": _step_4,
    # Of 255 pixels one is left at the bottom, on which neither engine can normalise a batch of 1.
    "step-1": lambda plan: _race(plan, Task(batch=1, side=383), 0.85),
    "step-16": lambda plan: _race(plan, Task(batch=16), 0.85),
    "inference-4": lambda plan: _race(plan, Task(mode="infer"), 0.95),
    "unet-4": lambda plan: _race(plan, Task(network="unet"), 0.85),
    "detect": _detect,
    "detect-memory": _detect_memory,
    "threads": _threads,
    "start-up": _start_up,
}


def tables(reports: dict[str, dict[str, Any]]) -> Iterable[Table]:
    """The checks of all targets, and the engines side by side where they raced."""
    checks = text.table(
        "Targets",
        ["target"],
        ["measured", "bound", ""],
        *text.busy(*reports.values()),
        prose=["what"],
    )
    raced = text.table(
        "Seconds (range), share of the sgemm peak, MiB at the peak",
        ["target", "engine"],
        ["seconds", "range", "sgemm", "MiB"],
    )
    for name, report in reports.items():
        for check in report["checks"]:
            checks.add_row(name, *Check.from_dict(check).cells)
        if "sgemm_gflops" not in report:
            continue
        forms = {f"PyTorch {form}": row for form, row in report["torch"]["forms"].items()}
        for engine, row in {OURS: report[OURS], **forms}.items():
            raced.add_row(
                name,
                engine,
                f"{row['seconds']:.3f}",
                f"{row['fastest_seconds']:.2f}..{row['slowest_seconds']:.2f}",
                text.share(row["share_of_sgemm"], 0),
                f"{row['peak_mib']:.0f}",
            )
        for engine, error in report["torch"]["errors"].items():
            raced.add_row(name, f"PyTorch {engine}", error, "", "", "")
    return [checks, raced] if raced.row_count else [checks]
