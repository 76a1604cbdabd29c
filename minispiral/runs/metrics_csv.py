"""The table of a run's scores, ``metrics.csv``."""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

from minispiral.files import write_text, writing_error

COLUMNS = (
    "step",
    "epoch",
    "seconds",
    "loss",
    "precision",
    "recall",
    "f1",
    "val_average_precision",
    "val_precision",
    "val_recall",
    "val_f1",
    "batches_without_crack",
)


class MetricsFile:
    """``metrics.csv``: a row of running training scores now and then, validation scores beside.

    Opening it keeps the complete rows up to ``step`` and drops the others, so that the table of an
    interrupted run becomes that of an uninterrupted one. Each row reaches the file at once.
    Raises `UserError` when it cannot be written.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        kept = [row for row in _read_rows(path) if int(row["step"]) <= step]
        text = io.StringIO()
        table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(kept)
        write_text(path, text.getvalue())

    def append(self, row: Mapping[str, float | int | None]) -> None:
        """Add a row; a column that is missing or None stays empty."""
        line = ",".join(_cell(row.get(name)) for name in COLUMNS) + "\n"
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())  # a checkpoint must not outlive the rows before it
        except OSError as error:
            raise writing_error(self.path, error) from error


def _cell(value: float | int | None) -> str:
    """A number as text: whole ones in full, others to six digits, none as nothing."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def _read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table that may end in a line cut short; none where there is no table."""
    if not path.exists():
        return []
    complete = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")[0]
    rows = csv.DictReader(complete.splitlines())
    return [row for row in rows if set(row) == set(COLUMNS) and row["step"].isdecimal()]
