"""``python -m bench paper``: train what a table or figure of the paper needs, and write it."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bench.common.machine import machine
from bench.common.worker import ROOT
from bench.paper import report
from bench.paper.budgets import BUDGETS, find_dataset, make_dataset
from bench.paper.figures import FIGURES
from bench.paper.plot import save_plot
from bench.paper.runner import Cell, StoppedByUser, run_cells
from bench.paper.tables import TABLES, Row, Table
from minispiral.cli.progress import TerminalReporter
from minispiral.data.pairs import find_pairs, read_pair
from minispiral.data.photos import write_picture
from minispiral.errors import UserError
from minispiral.files import write_text
from minispiral.training.config import TrainConfig

FOLDER = click.Path(path_type=Path)


@dataclass(frozen=True)
class Order:
    """What the command line asks for, defaults filled in."""

    what: str
    data: Path | None
    budget: str
    steps: int | None
    seeds: int
    runs: Path
    jobs: int
    vgg: Path | None

    @property
    def dataset(self) -> str:
        return "synthetic" if self.data is None else self.data.resolve().name

    @property
    def work(self) -> Path:
        """The folder of the runs of this dataset, budget and number of steps."""
        return self.runs / "-".join(
            filter(None, [self.dataset, self.budget, str(self.steps or "")])
        )

    @property
    def options(self) -> dict[str, Any]:
        """Options of training that all rows share."""
        steps = {} if self.steps is None else {"steps": self.steps}
        return {**BUDGETS[self.budget].options, **steps}

    @property
    def command(self) -> str:
        """The command that makes the same again."""
        what = f"{self.what} {shlex.quote(self.dataset)}" if self.data else self.what
        steps = "" if self.steps is None else f" --steps {self.steps}"
        return f"python -m bench paper {what} --budget {self.budget}{steps} --seeds {self.seeds}"


@click.command()
@click.argument("what", type=click.Choice([*TABLES, *FIGURES]))
@click.argument("data", type=FOLDER, required=False)
@click.option(
    "--budget",
    type=click.Choice(list(BUDGETS)),
    default="cpu",
    show_default=True,
    help="How much each network is trained: a minute or two for all of Table 4, an hour on "
    "two cores, a GPU at full width, or the whole schedule of the paper.",
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    metavar="N",
    help="Train each so long [default: the budget's].",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Train each with seeds 0 to N - 1 and give mean and standard deviation.",
)
@click.option(
    "--runs",
    type=FOLDER,
    default=Path("runs/paper"),
    show_default=True,
    metavar="DIR",
    help="The work folder: runs, and the synthetic photographs.",
)
@click.option(
    "--out", type=FOLDER, metavar="DIR", help="Results [default: bench/results/paper/DATASET]."
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Networks trained at a time [default: one per core; one at full width].",
)
@click.option("--vgg", type=FOLDER, metavar="FILE", help="VGG-16 weights for the fine-tuned HED.")
def paper(out: Path | None, jobs: int | None, **options: Any) -> None:
    """Train the networks of a table or figure of the paper and write their scores, or draw them.

    DATA is a folder with the datasets train/, val/ and test/ in it; without it, synthetic
    photographs are made. All networks have the same seed, number of steps and patches. The scores
    are printed next to the paper's. An interrupted command continues when it is given again.

    \b
    Examples: python -m bench paper table4 --budget smoke
              python -m bench paper table2 uav75 --seeds 3
              python -m bench paper fig4 uav75
    """
    small = BUDGETS[options["budget"]].options.get("width", 1.0) < 1
    cores = os.cpu_count() or 1
    for name in ("data", "runs", "vgg"):  # the processes run in another working directory
        options[name] = options[name] and options[name].absolute()
    order = Order(**options, jobs=jobs or (cores if small else 1))
    if out is None:
        out = ROOT / "bench/results/paper" / order.dataset
    try:
        with TerminalReporter() as terminal:
            if order.what in FIGURES:
                write_figure(order, out, terminal)
            else:
                write_table(order, out, terminal)
    except StoppedByUser as stopped:
        click.echo(f"Stopped; go on with: {command_line()}", err=True)
        sys.exit(128 + stopped.signum)


def command_line() -> str:
    return shlex.join(["python", "-m", "bench", *sys.argv[1:]])


def write_table(order: Order, out: Path, terminal: TerminalReporter) -> None:
    """Train what is missing and write the table as Markdown, JSON and a plot into ``out``.

    Raises `UserError` where a cell failed, after the table was written without it.
    """
    table = TABLES[order.what]
    data = dataset(order, terminal)
    left_out, rows = available(table, order)
    if left_out:
        terminal.message(left_out)
    failure = None
    try:
        train_rows(order, table.title, rows, data, terminal, order.seeds)
    except UserError as error:
        failure = error
    results = report.collect(table, order.work, order.seeds)
    facts = {
        "table": order.what,
        "dataset": order.dataset,
        "budget": order.budget,
        "seeds": order.seeds,
        "jobs": order.jobs,
        "photos": sum(bool(read_pair(pair)[1].any()) for pair in find_pairs(data / "test")),
        "command": order.command,
        "machine": machine(),
        "left_out": f" {left_out}" if left_out else "",
    }
    out.mkdir(parents=True, exist_ok=True)
    text = report.markdown(table, facts, results)
    write_text(out / f"{order.what}.md", text)
    write_text(out / f"{order.what}.json", json.dumps({**facts, "rows": results}, indent=1) + "\n")
    click.echo(text)
    if not save_plot(table, results, out / f"{order.what}.png"):
        terminal.message("No plot was drawn: it needs matplotlib (the extra `plots`).")
    terminal.message(f"written: {out / order.what}.md, .json and .png")
    if failure is not None:
        raise failure


def write_figure(order: Order, out: Path, terminal: TerminalReporter) -> None:
    """Train what is missing and draw the figure, with seed 0, into ``out``."""
    figure = FIGURES[order.what]
    data = dataset(order, terminal)
    train_rows(order, figure.title, figure.rows, data, terminal, seeds=1)
    runs = [report.run_folder(order.work, row, 0) for row in figure.rows]
    out.mkdir(parents=True, exist_ok=True)
    write_picture(out / f"{order.what}.png", figure.draw(runs, data / "test"))
    terminal.message(f"written: {out / order.what}.png")


def dataset(order: Order, terminal: TerminalReporter) -> Path:
    """The folder with train/, val/ and test/; made where none was given."""
    if order.data is not None:
        return find_dataset(order.data)

    def progress(done: int, total: int) -> None:
        terminal.show("making photographs", done, total)

    return make_dataset(order.work / "photographs", BUDGETS[order.budget], progress)


def available(table: Table, order: Order) -> tuple[str, list[Row]]:
    """Why some rows cannot be trained, "" if all can; and the rows that can."""
    full_width = order.options.get("width", 1.0) == 1
    reasons, rows = [], []
    for row in table.rows:
        if row.pretrained and not full_width:
            reasons.append("VGG-16 weights fit a HED of full width alone: --budget gpu or paper.")
        elif row.pretrained and order.vgg is None:
            reasons.append("A fine-tuned HED needs VGG-16 weights: give their file with --vgg.")
        else:
            rows.append(row)
    return " ".join(dict.fromkeys(reasons)), rows


def train_rows(
    order: Order,
    title: str,
    rows: Sequence[Row],
    data: Path,
    terminal: TerminalReporter,
    seeds: int,
) -> None:
    """Train every row with every seed, except where that is done."""
    val = data / "val"
    cells = []
    for seed in range(seeds):
        for row in rows:
            config = {
                **order.options,
                **row.options,
                **({"init": str(order.vgg)} if row.pretrained else {}),
                "data": str(data / "train"),
                "val": str(val) if val.is_dir() else None,
                "seed": seed,
            }
            name = row.name + (f", seed {seed}" if seeds > 1 else "")
            cells.append(
                Cell(name, report.run_folder(order.work, row, seed), data / "test", config)
            )
    an_example = TrainConfig.from_dict(cells[0].config)
    photos = len(find_pairs(data / "train"))
    an_epoch = -(-an_example.patches_per_image * photos // an_example.batch)
    steps = an_example.steps or an_example.epochs * an_epoch
    threads = max((os.cpu_count() or 1) // order.jobs, 1)
    run_cells(title, cells, steps, order.jobs, threads, terminal)
