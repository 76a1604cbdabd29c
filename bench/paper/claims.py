"""What the paper claims of its tables, and whether ours confirm it.

A claim is a set of comparisons, each of two rows of a table (or of two scores of a row). A
comparison holds where the mean over seeds is higher by more than two standard errors of the
difference, and fails where it is lower by as much. A claim is confirmed if all of its comparisons
hold, refuted if one fails, and undecided otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, variance
from typing import Any

from bench.paper.report import score_of
from bench.paper.tables import LOSSES, TABLE2

ERRORS = 2.0  # standard errors that a difference must exceed
SCRATCH = ("Spiral-Net", "U-Net", "HED (scratch)")
BEST_LOSS = "(f) pseudo-F1, Eq. 11"

Tables = Mapping[str, Sequence[Mapping[str, Any]]]  # the rows of each table's JSON file


@dataclass(frozen=True)
class Side:
    """A score of a row, named by its table and its labels."""

    table: str
    row: str
    score: str = "f1"

    def values(self, tables: Tables) -> list[float]:
        """The score for each seed, in %."""
        for row in tables.get(self.table, ()):
            if " / ".join(row["labels"].values()) == self.row:
                found = (score_of(run, self.score) for run in row["runs"])
                return [100 * value for value in found if value is not None]
        return []


@dataclass(frozen=True)
class Comparison:
    """The first is said to be higher than the second."""

    higher: Side
    lower: Side

    def judge(self, tables: Tables) -> dict[str, Any]:
        """The difference of the means, its standard error, and what follows."""
        one, other = self.higher.values(tables), self.lower.values(tables)
        found: dict[str, Any] = {"higher": vars(self.higher), "lower": vars(self.lower)}
        if len(one) < 2 or len(other) < 2:
            return {**found, "difference": None, "error": None, "verdict": "undecided"}
        difference = mean(one) - mean(other)
        error = sqrt(variance(one) / len(one) + variance(other) / len(other))
        verdict = "undecided"
        if abs(difference) > ERRORS * error:
            verdict = "holds" if difference > 0 else "fails"
        return {**found, "difference": difference, "error": error, "verdict": verdict}


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, and the comparisons that it comes to."""

    text: str
    comparisons: tuple[Comparison, ...]

    def judge(self, tables: Tables) -> dict[str, Any]:
        judged = [comparison.judge(tables) for comparison in self.comparisons]
        verdicts = {one["verdict"] for one in judged}
        verdict = "undecided"
        if "fails" in verdicts:
            verdict = "refuted"
        elif verdicts == {"holds"}:
            verdict = "confirmed"
        return {"claim": self.text, "verdict": verdict, "comparisons": judged}


def _cell(loss: str, network: str, score: str = "f1") -> Side:
    return Side("table4", f"{loss} / {network}", score)


def _above(first: Side, others: Iterable[Side]) -> tuple[Comparison, ...]:
    return tuple(Comparison(first, other) for other in others)


_INCREASING = TABLE2.rows[0].name
CLAIMS = (
    *(
        Claim(
            f"Eq. 11 has a higher F1 than the five other losses, in {network}",
            _above(
                _cell(BEST_LOSS, network),
                (_cell(loss, network) for loss in LOSSES if loss != BEST_LOSS),
            ),
        )
        for network in SCRATCH
    ),
    *(
        Claim(
            f"Spiral-Net has a higher F1 than {network}, with every loss",
            tuple(Comparison(_cell(loss, "Spiral-Net"), _cell(loss, network)) for loss in LOSSES),
        )
        for network in SCRATCH[1:]
    ),
    *(
        Claim(
            f"Spiral-Net has a higher {name} than U-Net and HED, with Eq. 11",
            _above(
                _cell(BEST_LOSS, "Spiral-Net", score),
                (_cell(BEST_LOSS, network, score) for network in SCRATCH[1:]),
            ),
        )
        for name, score in (("F1", "f1"), ("AP", "average_precision"))
    ),
    Claim(
        "The increasing order of depths has the highest F1",
        _above(
            Side("table2", _INCREASING),
            (Side("table2", row.name) for row in TABLE2.rows if row.name != _INCREASING),
        ),
    ),
    Claim(
        "Concatenation has a higher F1 than the sum, and the sum than no connection",
        (
            Comparison(Side("table3", "concatenation"), Side("table3", "sum")),
            Comparison(Side("table3", "sum"), Side("table3", "none")),
        ),
    ),
    Claim(
        "Spiral-Net with Eq. 11 leaves formwork joints alone: they are taken for crack less often "
        "than other pixels",
        (
            Comparison(
                _cell(BEST_LOSS, "Spiral-Net", "false_alarms_elsewhere"),
                _cell(BEST_LOSS, "Spiral-Net", "false_alarms_on_joints"),
            ),
        ),
    ),
)


def judge(tables: Tables) -> list[dict[str, Any]]:
    """The verdict on each claim, with its comparisons."""
    return [claim.judge(tables) for claim in CLAIMS]


def markdown(judged: Sequence[Mapping[str, Any]]) -> str:
    """A table of claims, verdicts, and how many comparisons hold, fail and are undecided."""
    lines = [
        "# The paper's claims",
        "",
        "| claim | verdict | holds | fails | undecided |",
        "|---|---|---:|---:|---:|",
    ]
    for claim in judged:
        counts = [
            sum(one["verdict"] == verdict for one in claim["comparisons"])
            for verdict in ("holds", "fails", "undecided")
        ]
        cells = [claim["claim"], claim["verdict"], *map(str, counts)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(
        [
            *lines,
            "",
            f"A comparison holds, or fails, where the difference of the means over seeds is more "
            f"than {ERRORS:g} standard errors; a claim is confirmed where all hold, refuted where "
            "one fails, and otherwise undecided.",
            "",
        ]
    )
