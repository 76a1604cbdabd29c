"""The learning rate of each loss, chosen on validation photographs.

A loss is judged fairly only at a rate that suits it. The candidates are few and the same for all
losses, and tried on one network; the loss then has its rate in every network.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.paper.tables import TABLE4, Row
from minispiral.errors import UserError

TRIED_ON = "U-Net"  # it takes a third of the time of the others
FILE = "rates.json"

Trial = dict[str, Any]  # loss, lr, and what it scored: f1, average_precision


def candidates(rates: Sequence[float]) -> list[Row]:
    """Every loss at every rate, in the network that the rates are tried on."""
    rows = [row for row in TABLE4.rows if row.labels[1] == TRIED_ON]
    return [row.at_rate(lr) for row in rows for lr in rates]


def trial(row: Row, found: dict[str, Any]) -> Trial:
    """What a candidate scored on the validation photographs."""
    return {
        "loss": row.loss,
        "lr": row.options["lr"],
        "f1": found["scores"]["f1"] or 0.0,
        "average_precision": found["scores"]["average_precision"] or 0.0,
        "seconds": found["seconds"],
    }


def choose(trials: Sequence[Trial]) -> dict[str, float]:
    """The rate of each loss that has the highest F1.

    Where F1 is the same, as it is where nothing is found at one half, average precision decides.
    """
    best: dict[str, Trial] = {}
    for one in trials:
        other = best.setdefault(one["loss"], one)
        if _merit(one) > _merit(other):
            best[one["loss"]] = one
    return {loss: one["lr"] for loss, one in best.items()}


def _merit(one: Trial) -> tuple[float, float]:
    return one["f1"], one["average_precision"]


def chosen(folder: Path) -> dict[str, float]:
    """The rates that were kept in ``folder``; `UserError` if there are none."""
    path = folder / FILE
    if not path.exists():
        raise UserError(
            f"{path} does not exist: the learning rates of this budget are chosen first; "
            "run `python -m bench paper rates` with the same data, --budget, --steps and --out."
        )
    rates: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))["rates"]
    return rates


def markdown(found: dict[str, Any]) -> str:
    """F1 and AP of each loss and rate on the validation photographs, and the choice."""
    lines = [
        "# Learning rates",
        "",
        "| loss | learning rate | F1 | mAP | chosen |",
        "|---|---:|---:|---:|---|",
    ]
    for t in found["trials"]:
        chosen = "*" if t["lr"] == found["rates"][t["loss"]] else ""
        lines.append(
            f"| {t['loss']} | {t['lr']:g} | {100 * t['f1']:.2f} | "
            f"{100 * t['average_precision']:.2f} | {chosen} |"
        )
    note = (
        f"Made by `{found['command']}`. Scores of {TRIED_ON} in %, on the validation photographs, "
        "seed 0."
    )
    return "\n".join([*lines, "", note, ""])
