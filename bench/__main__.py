"""``python -m bench``: every measurement is a command."""

import json

import click
from rich.console import Console

import bench.resume
from bench.step import measure, table
from bench.worker import WorkerError


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


@main.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def resume(arguments: tuple[str, ...]) -> None:
    """Kill training at random moments, resume it and compare the bits."""
    bench.resume.main(arguments)


if __name__ == "__main__":
    main(prog_name="python -m bench")
