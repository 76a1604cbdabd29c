"""``python -m bench``: every measurement is a command."""

import importlib.util
import json
import sys
from pathlib import Path

import click
from rich.console import Console

import bench.baselines
import bench.joints
import bench.resume
import bench.twin
from bench.bugs.command import bugs
from bench.costs import costs
from bench.cpu.command import cpu
from bench.gpu.command import gpu
from bench.paper.command import paper
from bench.twin_task import TASKS
from minispiral.errors import UserError


@click.group()
def main() -> None:
    """Measure minispiral on this machine."""


@main.command()
@click.option("--kills", default=20, show_default=True, type=click.IntRange(1), help="Runs killed.")
@click.option(
    "--steps", default=400, show_default=True, type=click.IntRange(1), help="Of each run."
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Of the moments and of the training.",
)
def resume(kills: int, steps: int, seed: int) -> None:
    """Kill training at random moments, resume it and compare the bits.

    The exit code is 1 if any run ended with other bits than the one that was left undisturbed.
    """
    if not bench.resume.measure(kills, steps, seed):
        sys.exit(1)


@main.command()
@click.argument("data", type=click.Path(path_type=Path))
def baselines(data: Path) -> None:
    """Score a threshold on darkness and one on the Sobel gradient, each the best of all."""
    try:
        click.echo(json.dumps(bench.baselines.measure(data), indent=2))
    except UserError as error:
        raise click.ClickException(str(error)) from None


@main.command()
@click.option(
    "--steps", default=20, show_default=True, type=click.IntRange(1), help="Of each network."
)
@click.option("--write", type=click.Path(path_type=Path), help="Keep PyTorch's numbers here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def twin(steps: int, write: Path | None, as_json: bool) -> None:
    """Train Spiral-Net and U-Net beside PyTorch and compare every number.

    Both start from the same weights and see the same batches, in float64: losses, gradients,
    weights and running statistics are compared after every step. The exit code is 1 if any
    differs by more than 1e-9.
    """
    if importlib.util.find_spec("torch") is None:
        raise click.ClickException("PyTorch is not installed: pip install torch")
    report = bench.twin.measure([task._replace(steps=steps) for task in TASKS.values()], write)
    if as_json:
        click.echo(json.dumps(report))
    else:
        Console().print(bench.twin.table(report))
    if not report["agree"]:
        sys.exit(1)


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
def joints(run: Path, data: Path) -> None:
    """Count the false alarms of RUN on formwork joints, in a DATA folder that marks them."""
    try:
        alarms = bench.joints.measure(run, data)
    except UserError as error:
        raise click.ClickException(str(error)) from None
    rates = {"joint_rate": alarms.joint_rate, "other_rate": alarms.other_rate}
    click.echo(json.dumps(vars(alarms) | rates, indent=2))


main.add_command(costs)
main.add_command(cpu)
main.add_command(gpu)
main.add_command(bugs)
main.add_command(paper)


if __name__ == "__main__":
    main(prog_name="python -m bench")
