"""The table of a resumed run equals that of an uninterrupted one."""

from pathlib import Path

import pytest

from minispiral.errors import UserError
from minispiral.runs.metrics_csv import COLUMNS, MetricsFile


def test_metrics_keep_the_rows_before_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.csv"
    table = MetricsFile(path, 0)
    for step in (10, 20, 30):
        table.append({"step": step, "loss": step / 7, "f1": None})
    full = path.read_text()
    assert full.splitlines()[0] == ",".join(COLUMNS)
    assert [line.split(",")[0] for line in full.splitlines()[1:]] == ["10", "20", "30"]
    MetricsFile(path, 30)
    assert path.read_text() == full
    path.write_text(full[:-5])  # killed in the middle of a row: it does not count
    MetricsFile(path, 30)
    assert path.read_text() == "".join(full.splitlines(keepends=True)[:3])
    MetricsFile(path, 19).append({"step": 20, "loss": 20 / 7})
    assert path.read_text() == "".join(full.splitlines(keepends=True)[:3])
    MetricsFile(path, 0)
    assert path.read_text() == full.splitlines(keepends=True)[0]


@pytest.mark.parametrize(
    "cell", ['"', "z" * 200_000, "9" * 5000, "\0", "", "x", "-1", "1,2"], ids=lambda cell: cell[:3]
)
def test_damaged_rows_are_left_out(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "metrics.csv"
    MetricsFile(path, 0).append({"step": 1, "loss": 0.5})
    sound = path.read_text(encoding="utf-8")
    path.write_text(sound + cell + "," * (len(COLUMNS) - 1) + "\n", encoding="utf-8")
    MetricsFile(path, 5)
    assert path.read_text(encoding="utf-8") == sound


def test_a_table_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").mkdir()
    with pytest.raises(UserError, match=r"metrics.csv cannot be read"):
        MetricsFile(tmp_path / "metrics.csv", 3)
