"""Engines that take turns at one task, so that what disturbs the machine disturbs them alike."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from bench.common.engines import OURS, Form
from bench.common.machine import sgemm_gflops
from bench.common.results import spread
from bench.common.task import Task
from bench.common.worker import Worker, WorkerError

WARM_UP = 2  # steps taken before any is timed: buffers are allocated, PyTorch compiles
REST = 0.3  # seconds in which the idle threads of the engine before fall asleep

Start = Callable[[], Worker]


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


def ours(task: Task) -> dict[str, Start]:
    """How to start minispiral on a task."""
    return {OURS: partial(Worker, "cpu.ours", task=vars(task))}


def theirs(task: Task, forms: Iterable[Form]) -> dict[str, Start]:
    """How to start PyTorch in these forms on a task."""
    return {
        form.name: partial(Worker, "torch.cpu", task=vars(task), **form._asdict()) for form in forms
    }


def warm_up(workers: dict[str, Worker], steps: int = WARM_UP) -> dict[str, str]:
    """Take the first steps; PyTorch's forms that fail are closed, and why is returned."""
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

    With ``heats`` the forms of PyTorch run alone first, one after the other, and only the fastest
    enters the race: for tasks that do not fit the memory five times.
    """
    forms = tuple(forms)
    errors: dict[str, str] = {}
    heat_seconds: dict[str, float] = {}
    if heats and len(forms) > 1:
        heat_seconds, errors = run_heats(task, forms)
        fastest = min(heat_seconds, key=lambda name: heat_seconds[name], default=None)
        forms = tuple(form for form in forms if form.name == fastest)
    with open_workers({**ours(task), **theirs(task, forms)}) as workers:
        if len({worker.facts["parameters"] for worker in workers.values()}) > 1:
            raise WorkerError("the networks differ in their number of parameters")
        errors |= warm_up(workers)
        peak = take_turns(workers, repeats)
    facts = workers[OURS].facts
    results = {name: result(worker, facts["gflop"], peak) for name, worker in workers.items()}
    own = results.pop(OURS)
    best = min(results, key=lambda name: float(results[name]["seconds"]), default=None)
    return {
        **vars(task),
        "parameters": facts["parameters"],
        "gflop": facts["gflop"],
        "sgemm_gflops": peak,
        OURS: own,
        "torch": {"forms": results, "errors": errors, "heats": heat_seconds, "best": best},
        "ratio": None if best is None else own["seconds"] / results[best]["seconds"],
    }


def run_heats(task: Task, forms: Iterable[Form]) -> tuple[dict[str, float], dict[str, str]]:
    """Seconds of a step of each form, alone, and the forms that failed."""
    seconds: dict[str, float] = {}
    errors: dict[str, str] = {}
    for form in forms:
        with open_workers(theirs(task, [form])) as workers:
            errors |= warm_up(workers)
            for name, worker in workers.items():
                seconds[name] = min(worker.step() for _ in range(2))
    return seconds, errors


def result(worker: Worker, gflop: float, peak: float) -> dict[str, Any]:
    """What was timed: the median and the range, in seconds, and what follows from them."""
    seconds = spread(worker.seconds)
    gflops = gflop / seconds["seconds"]
    return {
        **seconds,
        "gflops": gflops,
        "share_of_sgemm": gflops / peak,
        "peak_mib": worker.peak_mib,
        "threads": worker.facts["threads"],
    }
