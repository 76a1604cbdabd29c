"""``python -m bench paper``: train what a table or figure of the paper needs, and write it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bench.common.machine import machine
from bench.common.worker import ROOT
from bench.paper import claims, rates, report
from bench.paper.budgets import BUDGETS, find_dataset, make_dataset
from bench.paper.figures import FIGURES
from bench.paper.order import Order
from bench.paper.plot import save_plot
from bench.paper.runner import Cell, run_cells
from bench.paper.tables import TABLES, Row
from minispiral.cli.progress import TerminalReporter
from minispiral.data.pairs import find_pairs, read_pair
from minispiral.data.photos import write_picture
from minispiral.errors import UserError
from minispiral.files import write_text
from minispiral.training.config import TrainConfig

FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("what", type=click.Choice([*TABLES, *FIGURES, "rates", "claims"]))
@click.argument("data", type=FOLDER, required=False)
@click.option(
    "--budget",
    type=click.Choice(list(BUDGETS)),
    default="cpu",
    show_default=True,
    help="How much each network is trained: a minute or two for all of Table 4, an hour on "
    "two cores, three hours on two cores with three seeds and a learning rate for each loss, a GPU "
    "at full width, or the whole schedule of the paper.",
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
    "--rows",
    multiple=True,
    metavar="TEXT",
    help="Train only the rows with TEXT in their labels; may be given again [default: all].",
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
    "--out",
    type=FOLDER,
    metavar="DIR",
    help="Results [default: bench/results/paper/DATASET, or DATASET-BUDGET for another than cpu].",
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

    With --budget night the networks of a loss have the learning rate that `rates` chose for it on
    the validation photographs. `claims` says which claims of the paper the tables in --out confirm.

    \b
    Examples: python -m bench paper table4 --budget smoke
              python -m bench paper rates uav75 --budget night
              python -m bench paper table4 uav75 --budget night --seeds 3
              python -m bench paper table2 uav75 --budget night --seeds 3 --rows triangle
              python -m bench paper claims uav75 --budget night
              python -m bench paper fig4 uav75
    """
    small = BUDGETS[options["budget"]].options.get("width", 1.0) < 1
    cores = os.cpu_count() or 1
    for name in ("data", "runs", "vgg"):  # the processes run in another working directory
        options[name] = options[name] and options[name].absolute()
    dataset = "synthetic" if options["data"] is None else options["data"].resolve().name
    results = dataset if options["budget"] == "cpu" else f"{dataset}-{options['budget']}"
    order = Order(
        **options,
        dataset=dataset,
        out=out or ROOT / "bench/results/paper" / results,
        jobs=jobs or (cores if small else 1),
    )
    if order.rows and order.what not in TABLES:
        raise UserError(f"{order.what} has no rows to choose from, only tables have.", "rows")
    with TerminalReporter() as terminal:
        if order.what == "claims":
            write_claims(order)
        elif order.what == "rates":
            write_rates(order, terminal)
        elif order.what in FIGURES:
            write_figure(order, terminal)
        else:
            write_table(order, terminal)


def write_table(order: Order, terminal: TerminalReporter) -> None:
    """Train what is missing and write the table as Markdown, JSON and a plot.

    Raises `UserError` where a cell failed, after the table was written without it.
    """
    data = dataset(order, terminal)
    rows, trained, left_out = order.prepare(TABLES[order.what].rows)
    table = replace(TABLES[order.what], rows=tuple(rows))
    if left_out:
        terminal.message(left_out)
    failure = None
    try:
        train_rows(order, table.title, trained, data / "test", terminal, order.seeds)
    except UserError as error:
        failure = error
    results = report.collect(table, order.work, order.seeds)
    facts = {
        **facts_of(order),
        "photos": sum(bool(read_pair(pair)[1].any()) for pair in find_pairs(data / "test")),
        "left_out": f" {left_out}" if left_out else "",
    }
    text = report.markdown(table, facts, results)
    write_results(order, text, {**facts, "rows": results})
    click.echo(text)
    if not save_plot(table, results, order.out / f"{order.what}.png"):
        terminal.message("No plot was drawn: it needs matplotlib (the extra `plots`).")
    terminal.message(f"written: {order.out / order.what}.md, .json and .png")
    if failure is not None:
        raise failure


def write_rates(order: Order, terminal: TerminalReporter) -> None:
    """Train every loss at every learning rate of the budget, and keep which suits it best."""
    if not order.training.rates:
        raise UserError(
            f"the budget {order.budget} has one learning rate for all; choose another --budget."
        )
    data = dataset(order, terminal)
    rows = [
        row.with_modules_up_to(order.training.deepest)
        for row in rates.candidates(order.training.rates)
    ]
    train_rows(order, "learning rates", rows, data / "val", terminal, seeds=1)
    trials = [
        rates.trial(row, report.read(report.run_folder(order.work, row, 0), "val")) for row in rows
    ]
    found = {**facts_of(order), "rates": rates.choose(trials), "trials": trials}
    text = rates.markdown(found)
    write_results(order, text, found)
    click.echo(text)


def write_claims(order: Order) -> None:
    """Judge the paper's claims by the tables that were written before."""
    tables = {}
    for name in TABLES:
        path = order.out / f"{name}.json"
        if path.exists():
            tables[name] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    if not tables:
        raise UserError(f"{order.out} has no tables; make them first: table2, table3 and table4.")
    judged = claims.judge(tables)
    text = claims.markdown(judged)
    write_results(order, text, {"claims": judged})
    click.echo(text)


def write_results(order: Order, text: str, found: Mapping[str, Any]) -> None:
    """Keep what was found as Markdown and JSON."""
    order.out.mkdir(parents=True, exist_ok=True)
    write_text(order.out / f"{order.what}.md", text)
    write_text(order.out / f"{order.what}.json", json.dumps(found, indent=1) + "\n")


def facts_of(order: Order) -> dict[str, Any]:
    """How something was made, for its JSON file."""
    return {
        "table": order.what,
        "dataset": order.dataset,
        "budget": order.budget,
        "seeds": order.seeds,
        "jobs": order.jobs,
        "command": order.command,
        "machine": machine(),
    }


def write_figure(order: Order, terminal: TerminalReporter) -> None:
    """Train what is missing and draw the figure, with seed 0."""
    figure = FIGURES[order.what]
    data = dataset(order, terminal)
    rows, _, _ = order.prepare(figure.rows)
    train_rows(order, figure.title, rows, data / "test", terminal, seeds=1)
    runs = [report.run_folder(order.work, row, 0) for row in rows]
    order.out.mkdir(parents=True, exist_ok=True)
    write_picture(order.out / f"{order.what}.png", figure.draw(runs, data / "test"))
    terminal.message(f"written: {order.out / order.what}.png")


def dataset(order: Order, terminal: TerminalReporter) -> Path:
    """The folder with train/, val/ and test/; made where none was given."""
    if order.data is not None:
        return find_dataset(order.data)
    return make_dataset(order.work / "photographs", order.training, terminal)


def train_rows(
    order: Order,
    title: str,
    rows: Sequence[Row],
    scored_on: Path,
    terminal: TerminalReporter,
    seeds: int,
) -> None:
    """Train every row with every seed and score it on a dataset, except where that is done.

    The photographs to train and validate on lie next to those that are ``scored_on``.
    """
    train, val = scored_on.parent / "train", scored_on.parent / "val"
    cells = []
    for seed in range(seeds):
        for row in rows:
            config = {
                **order.options,
                **row.options,
                **({"init": str(order.vgg)} if row.pretrained else {}),
                "data": str(train),
                "val": str(val) if val.is_dir() else None,
                "seed": seed,
            }
            name = row.name + (f", seed {seed}" if seeds > 1 else "")
            cells.append(Cell(name, report.run_folder(order.work, row, seed), scored_on, config))
    an_example = TrainConfig.from_dict(cells[0].config)
    photos = len(find_pairs(train))
    an_epoch = -(-an_example.patches_per_image * photos // an_example.batch)
    steps = an_example.steps or an_example.epochs * an_epoch
    run_cells(title, cells, steps, order.jobs, terminal)
