"""``python -m bench gpu``: run the parts, print their tables, keep their numbers."""

import importlib.util
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.common import options, results
from bench.common.engines import LAYOUTS
from bench.common.machine import conditions
from bench.common.task import Task
from bench.gpu import (
    accuracy,
    ceilings,
    checks,
    detection,
    determinism,
    gradients,
    layers,
    nccl,
    steps,
    targets,
)
from bench.gpu.first.command import first
from bench.gpu.host import host
from bench.gpu.model.command import model
from bench.gpu.reporting import Report
from bench.gpu.session import Session, part

FILE = "gpu.json"

# The parts in their order, and the seconds that each takes on a large GPU.
PARTS = {
    "checks": 60,
    "accuracy": 40,
    "gradients": 30,
    "ceilings": 10,
    "steps": 180,
    "layers": 60,
    "detection": 30,
    "determinism": 40,
    "nccl": 30,
}
SHOWN: dict[str, Callable[[dict[str, Any]], Iterable[Table]]] = {
    "checks": checks.tables,
    "accuracy": accuracy.tables,
    "gradients": gradients.tables,
    "ceilings": ceilings.tables,
    "steps": steps.tables,
    "layers": layers.tables,
    "detection": detection.tables,
    "determinism": determinism.tables,
    "nccl": nccl.tables,
}


@dataclass
class Plan:
    """What to measure, and against what."""

    task: Task
    repeats: int = 7
    photo: tuple[int, int] = (3678, 5472)
    seed: int = 0
    rounds: int = checks.ROUNDS
    alternatives: bool = True
    shrink: int = 1  # of the ceilings
    theirs: dict[str, Session] = field(default_factory=dict)
    open: Callable[[str], Session] = part  # a session with the worker of a part

    @property
    def small(self) -> Task:
        """A batch that the CPU computes in float64 too."""
        return replace(self.task, batch=min(self.task.batch, 2))


class Progress:
    """Which part runs, and the time left, on standard error."""

    def __init__(self, parts: Iterable[str]) -> None:
        self.left = {name: float(PARTS[name]) for name in parts}
        self.start = self.said = time.monotonic()

    def begin(self, name: str) -> Callable[[float], None]:
        """Announce a part; returns a function to be told which share of it is done."""
        self._say(name)
        estimate = self.left[name]

        def report(share: float) -> None:
            self.left[name] = estimate * (1 - share)
            if time.monotonic() - self.said > 10:
                self._say(f"{name}, {share:.0%}")

        return report

    def end(self, name: str) -> None:
        self.left[name] = 0.0

    def _say(self, words: str) -> None:
        self.said = time.monotonic()
        left = sum(self.left.values())
        click.echo(f"{self.said - self.start:4.0f} s  {words}, about {left:.0f} s left", err=True)


@click.group(invoke_without_command=True)
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(list(PARTS)),
    help=f"Only this part, and again for more: {', '.join(PARTS)}.",
)
@options.batch(32, "Patches.")
@options.width
@options.photo
@options.repeats("Measurements of each.")
@click.option("--seed", type=int, help="Of the checks' random numbers [default: a new one].")
@options.torch
@click.option("--compile", "compiled", is_flag=True, help="Time torch.compile too, for minutes.")
@options.as_json
@options.out("gpu.json goes")
@click.pass_context
def gpu(
    context: click.Context,
    parts: tuple[str, ...],
    batch: int,
    width: float,
    photo: tuple[int, int],
    repeats: int,
    seed: int | None,
    torch: bool,
    compiled: bool,
    as_json: bool,
    out: Path,
) -> None:
    """Check all kernels on this machine's GPU, and time minispiral against PyTorch.

    \b
    checks       every kernel against its NumPy twin, on random numbers and odd shapes
    accuracy     float32 and TF32 against float64: each layer, and the whole network
    gradients    those of one full step against float64, by PyTorch on the GPU or by NumPy
    ceilings     memory, plain arithmetic and tensor cores at their best
    steps        training and inference in every form of both engines, and their memory
    layers       each convolution against the ceilings, and what else its kernels could choose
    detection    a photograph, from its file to the files of the result
    determinism  whether the same steps give the same bits
    nccl         the captured step of a process that shares a batch by NCCL, with itself alone

    Without --part all are run. Each part works in processes of its own, so one that fails does not
    end the others. It needs CuPy (the extra `gpu`), and PyTorch for the comparison. DIR/gpu.json
    keeps what earlier runs measured, part by part, and grows with every item. The exit code is 1
    if a kernel is wrong or a part failed.

    On a GPU that has not run these kernels yet, begin with `python -m bench gpu first`.

    Without a GPU, `python -m bench gpu model` counts what a step would take, and
    `python -m bench gpu host` times the host's part of a detection.
    """
    if context.invoked_subcommand is not None:
        return
    if importlib.util.find_spec("cupy") is None:
        raise click.ClickException("CuPy is not installed: pip install 'minispiral[gpu]'")
    plan = Plan(Task(batch=batch, width=width), repeats, (photo[1], photo[0]))
    plan.seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
    sessions = {}
    if torch and importlib.util.find_spec("torch") is not None:
        sessions = steps.torch_sessions(compiled)
        plan.theirs.update(sessions)
    try:
        report = run(parts or tuple(PARTS), plan, out, quiet=as_json)
    finally:
        for session in sessions.values():
            session.close()
    if as_json:
        click.echo(json.dumps(report))
    else:
        Console().print(*targets.tables(report))
    if failures(report):
        sys.exit(1)


gpu.add_command(first)
gpu.add_command(model)
gpu.add_command(host)


def run(parts: Iterable[str], plan: Plan, out: Path, quiet: bool = False) -> dict[str, Any]:
    """What the parts found, run one after the other even if some fail."""
    chosen = [name for name in PARTS if name in parts]
    report: dict[str, Any] = {"machine": {**conditions(), **describe(plan.open("facts"))}}
    if "error" in report["machine"]["gpu"]:
        raise click.ClickException(f"no GPU answers: {report['machine']['gpu']['error']}")
    progress = Progress(chosen)
    preparing = prepare(plan) if {"steps", "layers"} & set(chosen) else []
    for name in chosen:
        told = progress.begin(name)

        def report_item(
            item: dict[str, Any],
            found: dict[str, Any],
            share: float,
            name: str = name,
            told: Callable[[float], None] = told,
        ) -> None:
            """What is known so far is on disk, whatever ends the next item."""
            keep(out, {"machine": report["machine"], name: {**found, "share_done": share}})
            told(share)

        if name not in ("checks", "accuracy"):  # these time nothing
            for future in preparing:
                future.exception()  # wait for it; what failed fails again when it is timed
        try:
            report[name] = measure(name, plan, report, report_item)
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            report[name] = {"error": words, "traceback": traceback.format_exc()}
        progress.end(name)
        keep(out, report)
        if not quiet:
            show(name, report[name])
    report["targets"] = [check.as_dict() for check in targets.checks(report)]
    if len(chosen) == len(PARTS):
        keep(out, report)
    return report


def describe(session: Session) -> dict[str, Any]:
    """The GPU and its software, or why they are not known."""
    try:
        return {"gpu": session.ask()}
    except Exception as error:
        return {"gpu": {"error": str(error)}}
    finally:
        session.close()


def prepare(plan: Plan) -> list[Future[None]]:
    """Compiled forms of PyTorch take their first steps in the background."""
    pool = ThreadPoolExecutor(max(1, len(plan.theirs)))
    compiled = [session for name, session in plan.theirs.items() if name not in LAYOUTS]
    futures = [pool.submit(steps.prepare, session, plan.task) for session in compiled]
    pool.shutdown(wait=False)
    return futures


def measure(name: str, plan: Plan, report: dict[str, Any], tell: Report) -> dict[str, Any]:
    """What one part found."""
    if name == "steps":
        return steps.measure(plan.task, plan.repeats, plan.theirs, lambda: plan.open("ours"), tell)
    if name == "determinism":
        return determinism.measure(plan.task, lambda: plan.open("ours"), report=tell)
    if name == "nccl":
        return nccl.measure(plan.task, lambda: plan.open("ours"), report=tell)
    if name == "gradients":
        theirs = plan.theirs.get("channels_last")
        return gradients.measure(plan.task, lambda: plan.open("gradients"), theirs, tell)
    session = plan.open(name)
    try:
        if name == "checks":
            return checks.measure(session, plan.seed, plan.rounds, tell)
        if name == "ceilings":
            theirs = plan.theirs.get("NCHW")
            return ceilings.measure(session, plan.shrink, theirs, report=tell)
        if name == "detection":
            repeats = -(-plan.repeats // 2)
            depths, width = plan.task.depths, plan.task.width
            return detection.measure(session, plan.photo, repeats, depths, width, report=tell)
        if name == "accuracy":
            return accuracy.measure(session, plan.small, tell)
        theirs = plan.theirs.get("channels_last")
        found = report.get("ceilings")
        return layers.measure(
            session, plan.task, plan.repeats, found, theirs, plan.alternatives, tell
        )
    finally:
        session.close()


def show(name: str, found: dict[str, Any]) -> None:
    if "traceback" in found:
        click.echo(f"{name} failed: {found['error']}")
        return
    for table in SHOWN[name](found):
        Console(width=None if sys.stdout.isatty() else 200).print(table)


def failures(report: dict[str, Any]) -> list[str]:
    """The parts that failed, among them the checks if a kernel is wrong."""
    failed = [name for name in PARTS if "traceback" in report.get(name, {})]
    if "checks" in report and "checks" not in failed and not report["checks"]["passed"]:
        failed.append("checks")
    return failed


def keep(out: Path, report: dict[str, Any]) -> None:
    """Put each part in the place of what ``out/gpu.json`` held of it, with its machine."""
    found = {name: {"machine": report["machine"], "found": of} for name, of in report.items()}
    del found["machine"]
    results.keep(out / FILE, found)
