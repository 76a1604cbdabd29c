"""Networks trained with several seeds, and what they score."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import click
from rich.console import Console

from bench.common import results
from bench.common.machine import machine
from bench.common.options import Decorator
from bench.common.text import table
from bench.paper import report
from bench.paper.runner import Cell, run_cells
from minispiral.cli.progress import TerminalReporter

SCORES = {"F1": "f1", "F1, 2 px": report.WITHIN, "AP": "average_precision"}

seeds = click.option(
    "--seeds",
    type=click.IntRange(2),
    default=3,
    show_default=True,
    metavar="N",
    help="Train each with seeds 0 to N - 1.",
)
jobs = click.option(
    "--jobs",
    type=click.IntRange(1),
    default=os.cpu_count() or 1,
    metavar="N",
    help="Networks trained at a time [default: one per core].",
)


def runs(default: str) -> Decorator:
    return click.option(
        "--runs",
        type=click.Path(path_type=Path),
        default=Path(default),
        show_default=True,
        metavar="DIR",
        help="The work folder. What it holds is not trained again.",
    )


@dataclass(frozen=True)
class Trial:
    """One row: its name, and a configuration of training for each seed."""

    name: str
    configs: Sequence[Mapping[str, Any]]


def carry_out(
    command: str, trials: Sequence[Trial], folder: Path, scored_on: Path, jobs: int, out: Path
) -> list[dict[str, Any]]:
    """Train what ``folder`` lacks, score all on a split of a dataset, and keep what it comes to.

    It is kept in ``out`` under the names of the command and of the dataset.
    """
    train(command, trials, folder, scored_on, jobs)
    rows = collect(trials, folder, scored_on.name)
    dataset, seeds = scored_on.resolve().parent.name, len(trials[0].configs)
    made_by = f"python -m bench {command} {dataset} --seeds {seeds}"
    found = {"command": made_by, "machine": machine(), "rows": rows}
    results.keep(out / f"{command}.json", {dataset: found})
    return rows


def train(title: str, trials: Iterable[Trial], folder: Path, scored_on: Path, jobs: int) -> None:
    """Train what ``folder`` lacks, and score it on the photographs of a dataset."""
    cells = [
        Cell(f"{trial.name}, seed {seed}", run_folder(folder, trial, seed), scored_on, config)
        for trial in trials
        for seed, config in enumerate(trial.configs)
    ]
    steps = cells[0].config["steps"]
    with TerminalReporter() as terminal:
        run_cells(title, cells, steps, jobs, terminal)


def run_folder(folder: Path, trial: Trial, seed: int) -> Path:
    return folder / f"{trial.name.replace(' ', '-').replace(',', '')}-seed{seed}"


def collect(trials: Iterable[Trial], folder: Path, dataset: str) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds of each trial's scores, and those of each seed."""
    rows = []
    for trial in trials:
        found = [
            report.read(run_folder(folder, trial, seed), dataset)
            for seed in range(len(trial.configs))
        ]
        scores = {
            name: [(report.score_of(one, name) or 0.0) for one in found] for name in SCORES.values()
        }
        rows.append(
            {
                "name": trial.name,
                "mean": {name: mean(values) for name, values in scores.items()},
                "spread": {name: stdev(values) for name, values in scores.items()},
                "each": scores,
                "seconds": mean(one["seconds"] for one in found),
                "config": found[0]["config"],
            }
        )
    return rows


def show(title: str, rows: Sequence[Mapping[str, Any]], *notes: str) -> None:
    """The rows as a table on the terminal."""
    shown = table(title, [""], SCORES, *notes)
    for row in rows:
        numbers = [
            f"{row['mean'][name]:.3f} ± {row['spread'][name]:.3f}" for name in SCORES.values()
        ]
        shown.add_row(row["name"], *numbers)
    Console().print(shown)
