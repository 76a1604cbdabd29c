"""``python -m bench``: every measurement is a command."""

import json
import sys
from pathlib import Path

import click
from rich.console import Console

import bench.baselines
import bench.resume
from bench.step import measure, table
from bench.worker import WorkerError
from minispiral.errors import UserError


@click.group()
def main() -> None:
    """Measure minispiral on this machine."""


@main.command()
@click.option("--batch", default=4, show_default=True, type=click.IntRange(2), help="Patches.")
@click.option("--width", default=1.0, show_default=True, help="Scales the 64..512 channels.")
@click.option(
    "--repeats", default=7, show_default=True, type=click.IntRange(1), help="Steps timed."
)
@click.option("--torch/--no-torch", default=True, help="Time PyTorch too where it is installed.")
@click.option("--compile", "compiled", is_flag=True, help="Time torch.compile too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def step(
    batch: int, width: float, repeats: int, torch: bool, compiled: bool, as_json: bool
) -> None:
    """Time one training step of the full Spiral-Net, beside PyTorch where it is installed.

    A step is forward, pseudo-F1, backward and Adam in float32. The engines take turns, so that
    what disturbs the machine disturbs them alike; the figures are medians.
    """
    try:
        report = measure(batch, width, repeats, torch=torch, compiled=compiled)
    except WorkerError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps(report))
    else:
        Console().print(table(report))


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


if __name__ == "__main__":
    main(prog_name="python -m bench")
