"""Two processes on two cores, against threads and against what the two cores can do at most."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.table import Table

from bench.common import text
from bench.common.checks import Check
from bench.common.engines import COMPILED, EAGER, Form
from bench.common.results import spread
from bench.common.task import Task
from bench.common.worker import Worker, WorkerError
from bench.cpu.race import REST
from bench.scale.ranks import Alone, Job

ONE, TWO, APART, RANKS = "one thread", "two threads", "two apart", "two processes"

TASKS = {
    "narrow": Task(batch=8, width=1 / 4, depths=5),
    "full": Task(batch=4),
}
LIMITS = {  # of the time of two processes over that of others
    "narrow": {APART: 1.08, TWO: 1.0},
    "full": {TWO: 1.05},
}


@dataclass(frozen=True)
class Plan:
    """Rounds, steps of each contender in a round, a factor for all widths, and which PyTorch."""

    rounds: int
    steps: int
    width: float
    side: int
    torch: Sequence[Form] = ()


def forms(torch: bool, compiled: bool) -> Sequence[Form]:
    """The forms of PyTorch that take part."""
    return (EAGER + COMPILED if compiled else EAGER) if torch else ()


class Contender:
    """One worker, or several that are asked at once; ``seconds`` of a step, by round."""

    def __init__(self, *workers: Worker, many: bool = True) -> None:
        self.workers = workers
        self.many = many  # whether a worker takes several steps when asked once
        self.seconds: list[float] = []

    def run(self, steps: int) -> None:
        """Take the steps; what is timed ends when the last worker is done."""
        requests = [{"what": "step", "calls": steps}] if self.many else [{"what": "step"}] * steps
        seconds = 0.0
        for request in requests:
            for worker in self.workers:
                worker.send(**request)
            seconds += max(worker.receive()["seconds"] for worker in self.workers)
        self.seconds.append(seconds / steps)


def measure(name: str, plan: Plan) -> dict[str, Any]:
    """Seconds of a step of each contender, and the ratios, round by round.

    ``two apart`` are two independent processes with one thread and half of the batch each, which
    never speak: what two cores can do at most.
    """
    task = replace(TASKS[name], width=plan.width * TASKS[name].width, side=plan.side)
    half = replace(task, batch=task.batch // 2)
    with ExitStack() as stack:

        def opened(worker: Worker) -> Worker:
            return stack.enter_context(closing(worker))

        contenders = {
            RANKS: Contender(opened(Job(2, task, threads=1))),
            ONE: Contender(opened(Alone(task, threads=1))),
            TWO: Contender(opened(Alone(task, threads=2))),
            APART: Contender(*(opened(Alone(half, threads=1)) for _ in range(2))),
        }
        _check_losses([contenders[who].workers[0] for who in (RANKS, ONE, TWO)])
        parameters = contenders[ONE].workers[0].facts["parameters"]
        errors = {}
        for form in plan.torch:
            theirs = f"PyTorch {form.name}"
            try:
                worker = opened(Worker("torch.cpu", task=vars(task), **form._asdict()))
                worker.step()
                if worker.facts["parameters"] != parameters:
                    raise WorkerError("its network has other parameters")
                contenders[theirs] = Contender(worker, many=False)
            except WorkerError as error:
                errors[theirs] = str(error)
        take_turns(contenders, plan)
        job = contenders[RANKS].workers[0]
        profiles = job.ask(what="profile")["profiles"]
    seconds = {who: contender.seconds for who, contender in contenders.items()}
    ratios = {who: ratio(seconds[RANKS], times) for who, times in seconds.items() if who != RANKS}
    checks = [
        Check(f"two processes over {who}", ratios[who]["median"], limit)
        for who, limit in LIMITS[name].items()
    ]
    return {
        **vars(task),
        "rounds": plan.rounds,
        "steps_of_a_round": plan.steps,
        "seconds": {who: spread(times) for who, times in seconds.items()},
        "two_processes_over": ratios,
        "torch_errors": errors,
        "waiting": [_waiting(profile) for profile in profiles],
        "checks": [check.as_dict() for check in checks],
    }


def _check_losses(workers: Sequence[Worker]) -> None:
    """Raise `WorkerError` unless all find the same loss in the second step, but for rounding."""
    losses = [[worker.ask(what="loss")["loss"] for _ in range(2)][-1] for worker in workers]
    if not np.allclose(losses, losses[0], rtol=1e-3):
        raise WorkerError(f"what is to be compared computes different losses: {losses}")


def take_turns(contenders: Mapping[str, Contender], plan: Plan) -> None:
    """Rounds in which each contender runs once, each round in another order; one is not counted."""
    names = list(contenders)
    for k in range(plan.rounds + 1):
        first = k % len(names)
        for name in names[first:] + names[:first]:
            time.sleep(REST if plan.torch else REST / 3)
            contenders[name].run(plan.steps)
    for contender in contenders.values():
        del contender.seconds[0]


def ratio(ours: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    """The median of the ratios of the rounds, and their quartiles."""
    low, middle, high = np.quantile(np.divide(ours, others), (0.25, 0.5, 0.75))
    return {"median": float(middle), "lower_quartile": float(low), "upper_quartile": float(high)}


def _waiting(profile: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of a profiled step, and those that a process waits for the other."""
    waits = {
        kind: spent["seconds"]
        for kind, spent in profile["kinds"].items()
        if kind.startswith("other processes")
    }
    return {"step": profile["seconds"], **waits}


def tables(found: Mapping[str, Any]) -> list[Table]:
    """The contenders, the ratios and the bounds, for a person to read."""
    result = []
    for report in found["networks"].values():
        shown = text.table(
            f"Step on two cores: Spiral-Net 1-{report['depths']}, width {report['width']:g}, "
            f"{report['batch']} x {report['side']} x {report['side']}",
            [""],
            ["seconds", "range", "ratio", "quartiles"],
            "Ratio: the time of two processes over this one, median over rounds.",
            "Two apart: independent processes that never speak, one thread and half of the batch "
            "each.",
            *text.busy(report),
        )
        for who, row in report["seconds"].items():
            ratios = report["two_processes_over"].get(who)
            shown.add_row(
                who,
                f"{row['seconds']:.3f}",
                f"{row['fastest_seconds']:.2f}..{row['slowest_seconds']:.2f}",
                text.ratio(ratios and ratios["median"]),
                f"{ratios['lower_quartile']:.2f}..{ratios['upper_quartile']:.2f}" if ratios else "",
            )
        for who, error in report["torch_errors"].items():
            shown.add_row(who, error)
        result.append(shown)
    checks = text.table("Bounds", ["network"], ["measured", "bound", ""], prose=["what"])
    for name, report in found["networks"].items():
        for check in report["checks"]:
            checks.add_row(name, *Check.from_dict(check).cells)
    return [*result, checks]
