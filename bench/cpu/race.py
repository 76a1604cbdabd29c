"""Engines that take turns at one task, so that what disturbs the machine disturbs them alike."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import Any, NamedTuple

from bench.common.task import Task
from bench.common.machine import sgemm_gflops
from bench.common.worker import Worker, WorkerError

WARM_UP = 2  # steps taken before any is timed: buffers are made, PyTorch compiles
REST = 0.3  # seconds in which the idle threads of the engine before fall asleep
OURS = "minispiral"

Start = Callable[[], Worker]


class Form(NamedTuple):
    """One of the ways to run PyTorch."""

    layout: str
    compiled: bool = False

    @property
    def name(self) -> str:
        return f"{self.layout} compiled" if self.compiled else self.layout

    def words(self) -> list[str]:
        """The options of a worker."""
        return ["--layout", self.layout, *(["--compile"] if self.compiled else [])]


LAYOUTS = ("NCHW", "channels_last")
EAGER = tuple(Form(layout) for layout in LAYOUTS)
COMPILED = tuple(Form(layout, compiled=True) for layout in LAYOUTS)


@contextmanager
def open_workers(starts: Mapping[str, Start]) -> Iterator[dict[str, Worker]]:
    """Start a worker under each name; all are closed at the end."""
    workers: dict[str, Worker] = {}
    try:
        for name, start in starts.items():
            workers[name] = start()
        yield workers
    finally:
        for worker in workers.values():
            worker.close()


def entrants(task: Task, forms: Iterable[Form], *, ours: bool = True) -> dict[str, Start]:
    """How to start minispiral and PyTorch in these forms on a task."""
    starts: dict[str, Start] = {}
    if ours:
        starts[OURS] = partial(Worker, "cpu.ours", *task.words())
    for form in forms:
        starts[form.name] = partial(Worker, "cpu.theirs", *task.words(), *form.words())
    return starts


def warm_up(workers: dict[str, Worker], steps: int = WARM_UP) -> dict[str, str]:
    """Take the first steps; PyTorch's forms that fail leave, and why is returned."""
    errors = {}
    for name, worker in list(workers.items()):
        try:
            for _ in range(steps):
                worker.step()
        except WorkerError as error:
            if name == OURS:
                raise
            errors[name] = str(error)
            workers.pop(name).close()
    return errors


def take_turns(workers: dict[str, Worker], repeats: int) -> float:
    """Time ``repeats`` steps of each; the sgemm peak, measured after every round, in GFLOP/s."""
    peak = 0.0
    for _ in range(repeats):
        for worker in workers.values():
            time.sleep(REST)
            worker.seconds.append(worker.step())
        time.sleep(REST)
        peak = max(peak, sgemm_gflops())
    return peak


def race(task: Task, repeats: int, forms: Iterable[Form], heats: bool = False) -> dict[str, Any]:
    """Medians of minispiral and of every form of PyTorch, and the ratio to its fastest form.

    With ``heats`` the forms of PyTorch run alone first, one after the other, and the fastest
    alone enters the race: for tasks that do not fit the memory five times.
    """
    forms = tuple(forms)
    errors: dict[str, str] = {}
    heat_seconds: dict[str, float] = {}
    if heats and len(forms) > 1:
        heat_seconds, errors = run_heats(task, forms)
        fastest = min(heat_seconds, key=lambda name: heat_seconds[name], default=None)
        forms = tuple(form for form in forms if form.name == fastest)
    with open_workers(entrants(task, forms)) as workers:
        if len({worker.facts["parameters"] for worker in workers.values()}) > 1:
            raise WorkerError("the networks differ in their number of parameters")
        errors |= warm_up(workers)
        peak = take_turns(workers, repeats)
    ours = workers.pop(OURS)
    gflop = ours.facts["gflop"]
    results = {name: result(worker, gflop, peak) for name, worker in workers.items()}
    found = {
        **vars(task),
        "parameters": ours.facts["parameters"],
        "gflop": gflop,
        "sgemm_gflops": peak,
        OURS: result(ours, gflop, peak),
        "torch": {"forms": results, "errors": errors, "heats": heat_seconds, "best": None},
        "ratio": None,
    }
    if results:
        best = min(results, key=lambda name: float(results[name]["seconds"]))
        found["torch"]["best"] = best
        found["ratio"] = found[OURS]["seconds"] / results[best]["seconds"]
    return found


def run_heats(task: Task, forms: Iterable[Form]) -> tuple[dict[str, float], dict[str, str]]:
    """Seconds of a step of each form, alone, and the forms that failed."""
    seconds: dict[str, float] = {}
    errors: dict[str, str] = {}
    for form in forms:
        with open_workers(entrants(task, [form], ours=False)) as workers:
            errors |= warm_up(workers)
            for name, worker in workers.items():
                seconds[name] = min(worker.step() for _ in range(2))
    return seconds, errors


def result(worker: Worker, gflop: float, peak: float) -> dict[str, Any]:
    """What was timed: the median and the range, in seconds, and what follows from them."""
    seconds = median(worker.seconds)
    return {
        "seconds": seconds,
        "fastest_seconds": min(worker.seconds),
        "slowest_seconds": max(worker.seconds),
        "gflops": gflop / seconds,
        "share_of_sgemm": gflop / seconds / peak,
        "peak_mib": worker.peak_mib,
        "threads": worker.facts["threads"],
    }
