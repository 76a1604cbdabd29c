"""The results of a table: rows of means and spreads, as JSON and as Markdown."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from bench.paper.cell import scores_file
from bench.paper.tables import Row, Table, loss_name
from minispiral.networks import build

# The names of the paper's columns, and ours in scores.json.
COLUMNS = {"mAP": "average_precision", "F1": "f1", "Precision": "precision", "Recall": "recall"}
WITH_MOMENTS = {"hed"}  # networks whose running means and variances Table 5 counts too
WITHIN = "f1_within_2_px"
ALARMS = {"on joints": "false_alarms_on_joints", "elsewhere": "false_alarms_elsewhere"}


def run_folder(runs: Path, row: Row, seed: int) -> Path:
    """The folder in which a row is trained."""
    return runs / f"{row.key}-seed{seed}"


def read(run: Path, dataset: str) -> dict[str, Any]:
    """What a run scored on the photographs of a split; empty if it was not trained or scored."""
    path = scores_file(run, dataset)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def score_of(run: Mapping[str, Any], name: str) -> float | None:
    """A score or another result of a run by its name in the file; None if it has none."""
    value: float | None = run["scores"].get(name, run.get(name))
    return value


def collect(table: Table, runs: Path, seeds: int) -> list[dict[str, Any]]:
    """The scores of each row of the table, from the runs in the folder ``runs``.

    They are means and standard deviations over seeds, in %; None if the row was not trained or no
    photograph has the score.
    """
    return [
        _collect(table, row, [run_folder(runs, row, seed) for seed in range(seeds)])
        for row in table.rows
    ]


def _collect(table: Table, row: Row, runs: Sequence[Path]) -> dict[str, Any]:
    results = []
    for run in runs:
        if result := read(run, "test"):
            del result["scores"]["photos"]
            results.append({"run": run.name, **result})
    means, spreads = {}, {}
    for name in (*COLUMNS.values(), WITHIN, *ALARMS.values()):
        values = [score_of(result, name) for result in results]
        numbers = [100 * value for value in values if value is not None]
        means[name] = mean(numbers) if numbers else None
        spreads[name] = stdev(numbers) if len(numbers) > 1 else None
    collected: dict[str, Any] = {
        "labels": dict(zip(table.headings, row.labels, strict=True)),
        "paper": dict(zip(table.scores, row.paper, strict=True)),
        "mean": means,
        "spread": spreads,
        "seconds": mean(r["seconds"] for r in results) if results else None,
        "runs": results,
    }
    if table.parameters is not None:
        collected["parameters"] = parameters(row)
        collected["paper_parameters"] = table.parameters[row.labels[0]]
    return collected


def parameters(row: Row) -> int:
    """The number of parameters of a row's network at full width, as Table 5 counts them."""
    network = build(row.options["network"], rng=np.random.default_rng(0))
    if row.options["network"] in WITH_MOMENTS:
        return sum(array.size for array in network.state().values())
    return sum(p.data.size for p in network.parameters())


def markdown(table: Table, facts: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """The table with our numbers and the paper's, all in %, and how ours were made."""
    heads = list(table.headings)
    if table.parameters is not None:
        heads += ["parameters / 2^20", "paper"]
    for score in table.scores:
        heads += [score, "paper"]
    within = any(row["mean"][WITHIN] is not None for row in rows)
    if within:
        heads.append("F1, 2 px")
    alarms = any(row["mean"][name] is not None for row in rows for name in ALARMS.values())
    if alarms:
        heads += [f"alarms {place}" for place in ALARMS]
    lines = [f"# {table.title}", "", _line(heads)]
    lines.append("|" + "---|" * len(table.headings) + "---:|" * (len(heads) - len(table.headings)))
    for row in rows:
        cells = list(row["labels"].values())
        if table.parameters is not None:
            cells += [_number(row["parameters"] / 2**20), f"{row['paper_parameters']}"]
        for score in table.scores:
            ours = _spread(row["mean"][COLUMNS[score]], row["spread"][COLUMNS[score]])
            cells += [ours, _number(row["paper"][score])]
        if within:
            cells.append(_spread(row["mean"][WITHIN], row["spread"][WITHIN]))
        if alarms:
            cells += [
                _spread(row["mean"][name], row["spread"][name], 3) for name in ALARMS.values()
            ]
        lines.append(_line(cells))
    return "\n".join([*lines, "", *_notes(facts, rows, alarms), ""])


def _notes(facts: dict[str, Any], rows: Sequence[dict[str, Any]], alarms: bool) -> list[str]:
    runs = [run for row in rows for run in row["runs"]]
    notes = [
        f"Made by `{facts['command']}`. Scores in %, averaged over the test photographs that have "
        f"a crack ({facts['photos']} of them, Section 4.1), next to those of the paper, on its own "
        "photographs."
    ]
    if any(row["mean"][WITHIN] is not None for row in rows):
        notes.append("F1, 2 px: with a tolerance of two pixels.")
    if alarms:
        notes.append(
            "Alarms: the share, in %, of the pixels on formwork joints, and of all others, that "
            "are detected though they are no crack."
        )
    if runs:
        config = runs[0]["config"]
        last_seed = facts["seeds"] - 1
        seeds = f"seeds 0 to {last_seed} (mean ± standard deviation)" if last_seed else "seed 0"
        notes.append(
            f"Every network: width {config['width']:g}, {runs[0]['steps']} steps of "
            f"{config['batch']} patches of {config['patch']} x {config['patch']}{_drawn(config)}, "
            f"Adam {_rates(runs)}, {seeds}; scored with the checkpoint that had the "
            "best F1 on the validation photographs, or with the last where none found any crack. "
            f"Training took {min(r['seconds'] for r in runs):.0f} to "
            f"{max(r['seconds'] for r in runs):.0f} s a network with {runs[0]['threads']} "
            f"threads, {facts['jobs']} at a time ({facts['machine']['processor']}, minispiral "
            f"{runs[0]['version']})."
        )
    missing = [" / ".join(row["labels"].values()) for row in rows if not row["runs"]]
    if missing:
        notes.append(f"Not trained: {'; '.join(missing)}.{facts['left_out']}")
    return [line for note in notes for line in (note, "")][:-1]


def _drawn(config: Mapping[str, Any]) -> str:
    """Where patches are drawn, if not everywhere."""
    share = config.get("crack_share", 0)
    return f", {share:.0%} of them drawn around a crack" if share else ""


def _rates(runs: Sequence[dict[str, Any]]) -> str:
    """The learning rate, or that of each loss where they differ, and how it falls."""
    by_loss = {loss_name(run["config"]): run["config"]["lr"] for run in runs}
    rates = sorted(set(by_loss.values()))
    text = f"{rates[0]:g}"
    if len(rates) > 1:
        text = ", ".join(
            f"{lr:g} for {' and '.join(loss for loss in by_loss if by_loss[loss] == lr)}"
            for lr in rates
        )
        text = f"with the rate that was best for each loss on the validation photographs ({text})"
    cosine = runs[0]["config"].get("schedule") == "cosine"
    return text + (", falling along a cosine" if cosine else "")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _spread(value: float | None, spread: float | None, digits: int = 2) -> str:
    text = _number(value, digits)
    return text if spread is None else f"{text} ± {_number(spread, digits)}"
