"""What a call of ``python -m bench paper`` asks for, and the rows that it comes to."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.paper import rates
from bench.paper.budgets import BUDGETS, Budget
from bench.paper.tables import Row
from minispiral.errors import UserError


@dataclass(frozen=True)
class Order:
    """What the command line asks for, defaults filled in."""

    what: str
    data: Path | None  # None: synthetic photographs
    dataset: str
    budget: str
    steps: int | None
    seeds: int
    rows: tuple[str, ...]  # parts of the labels of those to train; none: all
    runs: Path
    out: Path
    jobs: int
    vgg: Path | None

    @property
    def training(self) -> Budget:
        """How much each row is trained."""
        return BUDGETS[self.budget]

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
        return {**self.training.options, **steps}

    @property
    def command(self) -> str:
        """The command that makes the same again."""
        what = f"{self.what} {shlex.quote(self.dataset)}" if self.data else self.what
        steps = "" if self.steps is None else f" --steps {self.steps}"
        rows = "".join(f" --rows {shlex.quote(text)}" for text in self.rows)
        return (
            f"python -m bench paper {what} --budget {self.budget}{steps} --seeds {self.seeds}{rows}"
        )

    def prepare(self, rows: Sequence[Row]) -> tuple[list[Row], list[Row], str]:
        """The rows as this budget trains them, those of them that can be trained, and why not all.

        Raises `UserError` where their learning rates were not chosen yet, and where `rows` names
        none of them.
        """
        for text in self.rows:
            if not any(text in row.name for row in rows):
                raise UserError(
                    f"no row has {text!r} in its labels; choose from "
                    f"{', '.join(row.name for row in rows)}.",
                    "rows",
                )
        deepest = self.training.deepest
        full_width = self.options.get("width", 1.0) == 1
        by_loss = rates.chosen(self.out) if self.training.rates else {}
        prepared, trained, reasons = [], [], []
        for row in rows:
            if row.pretrained and not full_width:
                reasons.append(
                    "VGG-16 weights fit a HED of full width alone: --budget gpu or paper."
                )
            elif row.pretrained and self.vgg is None:
                reasons.append("A fine-tuned HED needs VGG-16 weights: give their file with --vgg.")
            elif (made := row.with_modules_up_to(deepest)).options.get("depths") == ():
                reasons.append(f"Patches of this budget allow depths up to {deepest}.")
            else:
                row = made.at_rate(by_loss[row.loss]) if by_loss else made
                if not self.rows or any(text in row.name for text in self.rows):
                    trained.append(row)
                else:
                    reasons.append(f"Only rows with {' or '.join(self.rows)} were asked for.")
            prepared.append(row)
        return prepared, trained, " ".join(dict.fromkeys(reasons))
