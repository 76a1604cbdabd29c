"""``python -m tests.campaign``: try to break minispiral, for minutes to hours."""

import importlib
import json
import sys
import time
from functools import partial
from pathlib import Path

import click

PARTS = ("mutations", "kills", "ranks", "disk", "writers", "memory", "long_run")


@click.command()
@click.option(
    "--scale",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Of the full size, which takes hours; 0.01 takes minutes.",
)
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="This part; repeatable.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--processes", default=1, show_default=True, type=click.IntRange(1))
@click.option(
    "--keep", type=click.Path(path_type=Path), help="Folder for the damaged files that failed."
)
def main(scale: float, only: tuple[str, ...], seed: int, processes: int, keep: Path | None) -> None:
    """Try to break minispiral, and print what was tried as JSON.

    Damaged pictures, checkpoints and run folders; kills at random moments, of one of several
    processes too; full disks and read-only folders; two writers; little memory; many steps. The
    exit code is 1 if anything failed.
    """
    began = time.monotonic()
    figures = {}

    def report(line: str) -> None:
        click.echo(f"{time.monotonic() - began:7.0f} s  {line}", err=True)

    for name in only or PARTS:
        run = importlib.import_module(f"tests.campaign.{name}").run
        if name == "mutations":
            run = partial(run, seed=seed, keep=keep, processes=processes)
        elif name in ("kills", "ranks", "long_run"):
            run = partial(run, seed=seed)
        start = time.monotonic()
        figures[name] = run(scale, report)
        figures[name]["seconds"] = round(time.monotonic() - start)
    click.echo(json.dumps(figures, indent=2, default=str))
    if any(figure["failures"] for figure in figures.values()):
        sys.exit(1)


if __name__ == "__main__":
    main(prog_name="python -m tests.campaign")
