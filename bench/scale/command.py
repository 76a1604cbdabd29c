"""``python -m bench scale``: run the parts, print their tables, keep their numbers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bench.common import options, results
from bench.common.machine import conditions, installed
from bench.common.task import SIDE
from bench.scale import counts, local, naive, prediction, two_cores
from minispiral.errors import UserError

FILE, PLOT = "scale.json", "scale.png"

PARTS: dict[str, Callable[[Any], list[Table]]] = {
    "counts": counts.tables,
    "local": local.tables,
    "check": local.check_tables,
    "prediction": prediction.tables,
    "two-cores": two_cores.tables,
    "naive": naive.tables,
}


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)), metavar="[PART]...")
@click.option(
    "--patches",
    type=(click.IntRange(2), click.IntRange(3)),
    default=(2, 6),
    show_default=True,
    metavar="FEW MANY",
    help="Patches of a process in local; check takes FEW.",
)
@click.option("--side", default=SIDE, show_default=True, help="Side of the patches in pixels.")
@click.option(
    "--task",
    "tasks",
    multiple=True,
    type=click.Choice(list(two_cores.TASKS)),
    help="Only this network in two-cores [default: both].",
)
@click.option("--steps", default=3, show_default=True, help="Steps of a round in two-cores.")
@click.option("--seeds", default=5, show_default=True, help="Draws of each case in naive.")
@options.width
@options.repeats("Rounds, of which medians are taken.")
@options.torch
@options.compiled
@options.as_json
@options.out("scale.json and the plot go")
def scale(
    parts: tuple[str, ...],
    patches: tuple[int, int],
    side: int,
    tasks: tuple[str, ...],
    steps: int,
    seeds: int,
    width: float,
    repeats: int,
    torch: bool,
    compiled: bool,
    as_json: bool,
    out: Path,
) -> None:
    """Measure what training on several processes costs here, and predict it for clusters.

    \b
    counts      what a step exchanges, recorded, for each network
    local       computing, and MPI's latency and bandwidth, on this machine
    check       steps of 1, 2 and 4 processes, measured and predicted
    prediction  steps of up to 1,024 processes on networks with published figures, as a plot too
    two-cores   two processes against threads, against two that never speak, and against PyTorch
    naive       how far averaged gradients are from those of the whole batch

    Without a PART all are run. check and prediction need what local measured, then or earlier:
    DIR/scale.json keeps it, part by part. What is compared takes turns; the figures are medians.
    mpiexec is the one beside this Python, else the first on the path.

    \b
    Examples: python -m bench scale local check prediction
              python -m bench scale two-cores --repeats 30
    """
    plan = local.Plan(repeats, patches, side, width)
    forms = two_cores.forms(torch and installed("torch") is not None, compiled)
    pair = two_cores.Plan(repeats, steps, width, side, forms)
    machine = conditions()  # once: later the load would be our own
    report: dict[str, Any] = {}

    def measured() -> dict[str, Any]:
        """What the part local has found."""
        found: dict[str, Any] = {**results.kept(out / FILE), **report}.get("local", {})
        if not found:
            raise UserError(f"{out / FILE} has no measurements of this machine: run local first")
        return found

    measuring: dict[str, Callable[[], dict[str, Any]]] = {
        "counts": lambda: counts.measure(width),
        "local": lambda: local.measure(plan),
        "check": lambda: local.check(plan, measured()),
        "prediction": lambda: prediction.measure(measured()),
        "two-cores": lambda: {
            "networks": {
                name: {"machine": machine, **two_cores.measure(name, pair)}
                for name in tasks or two_cores.TASKS
            }
        },
        "naive": lambda: naive.measure(naive.Plan(seeds)),
    }
    for part, tables in PARTS.items():
        if parts and part not in parts:
            continue
        click.echo(f"measuring {part}", err=True)
        found = {"machine": machine, **measuring[part]()}
        report[part] = json.loads(json.dumps(found))  # as it will be read from the file
        keep(out, part, report[part])
        if not as_json:
            Console().print(*tables(report[part]))
    if as_json:
        click.echo(json.dumps(report))


def keep(out: Path, part: str, found: dict[str, Any]) -> None:
    """Put what was found in the place of what ``out/scale.json`` held of it, and draw the plot."""
    if part == "two-cores":
        before = results.kept(out / FILE).get(part, {}).get("networks", {})
        found = {**found, "networks": {**before, **found["networks"]}}
    results.keep(out / FILE, {part: found})
    if part == "prediction" and not prediction.save_plot(found, out / PLOT):
        click.echo("No plot was drawn: it needs matplotlib (the extra `plots`).", err=True)
