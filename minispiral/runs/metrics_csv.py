"""``metrics.csv``: the loss and the scores of a run against the training step."""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

from minispiral.errors import UserError
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
    """Appends rows to a ``metrics.csv``: training scores, and validation scores where measured.

    Opening the file keeps the complete rows up to ``step`` and drops the rest, so that the table
    of a resumed run equals that of an uninterrupted one. Every row is on disk when `append`
    returns. Raises `UserError` when the file cannot be written.
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
        """Add a row; columns that are missing or None stay empty."""
        line = ",".join(_cell(row.get(name)) for name in COLUMNS) + "\n"
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())  # a checkpoint must not outlive the rows before it
        except OSError as error:
            raise writing_error(self.path, error) from error


def _cell(value: float | int | None) -> str:
    """An integer in full, a float to six digits, nothing for None."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def _read_rows(path: Path) -> list[dict[str, str]]:
    """The complete rows of a table whose last line may be cut short; none if there is no file."""
    if not path.exists():
        return []
    try:
        complete = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")[0]
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}); restore or remove it"
        ) from error
    header, *rows = [_cells(line) for line in complete.splitlines()] or [[]]
    if set(header) != set(COLUMNS):
        return []
    named = [dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)]
    return [row for row in named if row["step"].isdecimal() and len(row["step"]) < 19]


def _cells(line: str) -> list[str]:
    """The cells of a line; none if it is damaged."""
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []
