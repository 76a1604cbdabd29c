"""``python -m bench cpu``: run the parts, print their tables, keep their numbers."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bench.common import options, results
from bench.common.machine import conditions, installed
from bench.common.search import Search
from bench.common.task import Task
from bench.cpu import layers, scaling, step, targets
from bench.cpu.targets import TARGETS, Plan

PARTS = ("layers", "step", "targets", "scaling")
FILE, PLOT = "cpu.json", "cpu-scaling.png"


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(PARTS), metavar="[PART]...")
@click.option(
    "--target",
    "chosen",
    multiple=True,
    type=click.Choice(list(TARGETS)),
    metavar="NAME",
    help=f"Only this target, and again for more: {', '.join(TARGETS)}.",
)
@options.batch(4, "Patches, in layers, step and scaling.")
@options.width
@options.photo
@options.repeats("Steps timed.")
@options.torch
@options.compiled
@options.as_json
@options.out("cpu.json and the plot go")
def cpu(
    parts: tuple[str, ...],
    chosen: tuple[str, ...],
    batch: int,
    width: float,
    photo: tuple[int, int],
    repeats: int,
    torch: bool,
    compiled: bool,
    as_json: bool,
    out: Path,
) -> None:
    """Time minispiral on this CPU, compare it with PyTorch, and see where its time goes.

    \b
    layers   every distinct layer of the full Spiral-Net: forward and both gradients
    step     a training step (forward, pseudo-F1, backward, Adam), part by part
    targets  what has to be reached, pass or fail: speed, memory, threads, start-up
    scaling  a training step by batch, side of the patches and width, as a plot too

    Without a PART all are run. All is float32. The engines take turns, so that what disturbs the
    machine disturbs them alike; the figures are medians. DIR/cpu.json keeps what earlier runs
    measured, part by part and target by target.

    \b
    Examples: python -m bench cpu
              python -m bench cpu layers step --no-torch
              python -m bench cpu --target step-4 --target unet-4
    """
    torch = torch and installed("torch") is not None
    task = Task(batch=batch, width=width)
    plan = Plan(repeats, width, Search(photo[1], photo[0], width), torch, compiled)
    parts = parts or (("targets",) if chosen else PARTS)
    names = chosen or tuple(TARGETS)
    report: dict[str, Any] = {}
    for part, found in measure(parts, names, task, plan):
        report[part] = {**report.get(part, {}), **found}
        keep(out, part, found)
        if not as_json:
            Console().print(*tables(part, found))
    if as_json:
        click.echo(json.dumps(report))
    elif len(report.get("targets", {})) > 1:
        Console().print(*targets.tables(report["targets"]))


def measure(
    parts: Iterable[str], names: Iterable[str], task: Task, plan: Plan
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each part and what was found, of the targets one at a time."""
    machine = conditions()  # once: later the load would be our own
    for part in PARTS:
        if part not in parts:
            continue
        if part == "targets":
            for name in dict.fromkeys(names):
                click.echo(f"measuring target {name}", err=True)
                yield part, {name: {"machine": machine, **targets.measure(name, plan)}}
            continue
        click.echo(f"measuring {part}", err=True)
        if part == "layers":
            found = layers.measure(task, plan.repeats, plan.torch)
        elif part == "step":
            found = step.measure(task, plan.repeats)
        else:
            found = scaling.measure(task, plan.repeats)
        yield part, {"machine": machine, **found}


def tables(part: str, found: dict[str, Any]) -> Iterable[Table]:
    """A part's report for a person to read."""
    shown = {
        "layers": layers.tables,
        "step": step.tables,
        "targets": targets.tables,
        "scaling": scaling.tables,
    }
    return shown[part](found)


def keep(out: Path, part: str, found: dict[str, Any]) -> None:
    """Put what was found in the place of what ``out/cpu.json`` held of it, and draw the plot."""
    before = results.kept(out / FILE).get(part, {}) if part == "targets" else {}
    results.keep(out / FILE, {part: {**before, **found}})
    if part == "scaling" and not scaling.save_plot(found, out / PLOT):
        click.echo("No plot was drawn: it needs matplotlib (the extra `plots`).", err=True)
