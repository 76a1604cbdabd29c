"""The folder of a run: who may write to it, its options and its table of scores.

``config.json``, ``metrics.csv``, ``last.safetensors`` and ``best.safetensors`` live in it, beside
``curves.png`` and ``samples/`` once a run has finished.
"""

import csv
import io
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

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


@contextmanager
def lock_run(run: Path) -> Iterator[None]:
    """Hold the run folder ``run``, made if need be, for this process alone.

    The system lets go of the lock when the process ends, however it ends. Raises `UserError`
    when another process holds it or the folder cannot be made.
    """
    path = run / ".lock"
    try:
        run.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise writing_error(run, error) from error
    with file:
        try:
            _lock(file)
        except (BlockingIOError, PermissionError):  # taken, as Unix and Windows say it
            raise UserError(
                f"Another process is training in {run}; wait until it has finished or give "
                "another --out folder."
            ) from None
        except OSError as error:
            raise UserError(
                f"{run} lies on a disk that cannot lock files ({error.strerror or error}); give "
                "an --out folder on another disk."
            ) from error
        yield


def _lock(file: BinaryIO) -> None:
    """Lock an open file without waiting; OSError when it is taken."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def resumable(run: Path) -> Path | None:
    """The checkpoint a run goes on from: the last one, or the best where only that was written."""
    for name in ("last.safetensors", "best.safetensors"):
        if (run / name).exists():
            return run / name
    return None


def check_own_files(run: Path) -> None:
    """Raise `UserError` where a new run would replace a file in ``run`` that no run has written."""
    for name, sign in (("config.json", '"patches_per_image"'), ("metrics.csv", "step,epoch,")):
        path = run / name
        if path.exists() and sign not in path.read_text(encoding="utf-8", errors="replace"):
            raise UserError(
                f"{path} would be replaced, but no training run wrote it; give another --out "
                "folder."
            )


def write_config(run: Path, config: Mapping[str, Any]) -> None:
    """Save the options of the run as ``config.json``."""
    write_text(run / "config.json", json.dumps(config, indent=2) + "\n")


def check_unchanged(
    run: Path, old: Mapping[str, Any], new: Mapping[str, Any], may_change: frozenset[str]
) -> None:
    """Raise `UserError` with each option of ``new`` that differs from the run's ``old`` ones."""
    changed = [
        f"--{name.replace('_', '-')} was {_spell(old.get(name))} and is now {_spell(value)}"
        for name, value in new.items()
        if name not in may_change and old.get(name) != value
    ]
    if changed:
        raise UserError(
            f"The run in {run} cannot be resumed with other options: {'; '.join(changed)}; give "
            "the old ones, or train in another --out folder."
        )


def _spell(value: Any) -> str:
    """An option's value as it is typed."""
    if value is None:
        return "not given"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


@dataclass
class RunningSums:
    """Sums over the batches since the last row of ``metrics.csv``.

    Precision, recall and F1 are those of all their pixels pooled, at probability 0.5.
    """

    loss_sum: float = 0.0
    finite_losses: int = 0
    crack: int = 0  # pixels
    detected: int = 0
    correct: int = 0
    batches_without_crack: int = 0
    nan_losses: int = 0

    def add(self, loss: float, logits: NDArray[Any], mask: NDArray[np.bool_]) -> None:
        """Count one batch: logits and mask (n, h, w, 1)."""
        detected = logits >= 0  # probability >= 0.5
        crack = int(np.count_nonzero(mask))
        self.crack += crack
        self.detected += int(np.count_nonzero(detected))
        self.correct += int(np.count_nonzero(detected & mask))
        self.batches_without_crack += crack == 0
        if math.isfinite(loss):  # -log F1 of a batch without crack is not
            self.loss_sum += loss
            self.finite_losses += 1
        self.nan_losses += math.isnan(loss)

    @property
    def loss(self) -> float | None:
        return self.loss_sum / self.finite_losses if self.finite_losses else None

    @property
    def precision(self) -> float | None:
        if not self.crack:
            return None
        return self.correct / self.detected if self.detected else 0.0

    @property
    def recall(self) -> float | None:
        return self.correct / self.crack if self.crack else None

    @property
    def f1(self) -> float | None:
        return 2 * self.correct / (self.crack + self.detected) if self.crack else None


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
