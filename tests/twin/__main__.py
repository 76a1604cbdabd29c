"""``python -m tests.twin``: train in minispiral and in PyTorch and compare every number."""

import importlib.util
import json
import sys
from pathlib import Path

import click
from rich.console import Console

from tests.twin.report import measure, table
from tests.twin.task import TASKS


@click.command()
@click.option(
    "--steps", default=20, show_default=True, type=click.IntRange(1), help="Of each network."
)
@click.option("--write", type=click.Path(path_type=Path), help="Keep PyTorch's numbers here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(steps: int, write: Path | None, as_json: bool) -> None:
    """Train Spiral-Net and U-Net in minispiral and in PyTorch and compare every number.

    Both start from the same weights and see the same batches, in float64: losses, gradients,
    weights and running statistics are compared after every step. The exit code is 1 if any
    differs by more than 1e-9.
    """
    if importlib.util.find_spec("torch") is None:
        raise click.ClickException("PyTorch is not installed: pip install torch")
    report = measure([task._replace(steps=steps) for task in TASKS.values()], write)
    if as_json:
        click.echo(json.dumps(report))
    else:
        Console().print(table(report))
    if not report["agree"]:
        sys.exit(1)


if __name__ == "__main__":
    main(prog_name="python -m tests.twin")
