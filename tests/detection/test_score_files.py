"""The table and the curves of an evaluation."""

import builtins
import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minispiral.detection.metrics import Summary, score_photo, summarize
from minispiral.detection.score_files import check_files, draw_curves, write_table
from minispiral.errors import UserError
from tests.detection.maps import random_pair


def summary_of(rng: np.random.Generator, names: str, cracked: int, **how: object) -> Summary:
    pairs = [random_pair(rng, i < cracked) for i in range(len(names))]
    return summarize(
        [score_photo(n, *pair, **how) for n, pair in zip(names, pairs, strict=True)], "validation"
    )


def test_the_table_has_a_row_for_each_photograph(rng, tmp_path: Path) -> None:
    found = summary_of(rng, "ü=c", 2)
    write_table(tmp_path / "scores.csv", found)
    content = (tmp_path / "scores.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbfname,average_precision,")
    assert content.count(b"\r\n") == 4
    rows = list(csv.DictReader(content.decode("utf-8-sig").splitlines()))
    assert [row["name"] for row in rows] == ["ü", "./=", "c"]  # no formula
    for row, photo in zip(rows, found.photos, strict=True):
        for name, value in photo.as_dict().items():
            if name != "name":
                assert row[name] == ("" if value is None else str(value))


@pytest.mark.parametrize(
    ("how", "suffix"),
    [({"threshold": 1.0}, ".jpg"), ({"tolerance": 2, "thin": True}, ".png")],
)
def test_curves_are_drawn_with_both_marks(rng, how, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"curves{suffix}"
    check_files(None, path)
    draw_curves(path, summary_of(rng, "abc", 2, **how))
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert picture.shape[1] > 2 * 500
    for colour in ((0, 0x72, 0xB2), (0xD5, 0x5E, 0)):
        near = np.abs(picture - colour).max(axis=2) < 30
        assert near[:, : picture.shape[1] // 2].sum() > 30
        assert near[:, picture.shape[1] // 2 :].sum() > 30


def test_photographs_without_crack_have_no_curves(rng, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no photograph has a crack"):
        draw_curves(tmp_path / "curves.png", summary_of(rng, "ab", 0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("table", "picture", "message"),
    [
        (None, "curves.pdf", r"\.png or \.jpg, not as curves\.pdf"),
        (None, "nowhere/curves.png", "no folder that exists"),
        ("", None, "is a folder"),
        ("nowhere/scores.csv", None, "no folder that exists"),
    ],
)
def test_files_that_could_not_be_written_are_refused(table, picture, message, tmp_path) -> None:
    paths = [None if name is None else tmp_path / name for name in (table, picture)]
    with pytest.raises(UserError, match=message) as refused:
        check_files(*paths)
    assert refused.value.parameter == ("picture" if table is None else "table")


def test_one_file_is_not_both(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="for the table and for the curves"):
        check_files(tmp_path / "a.png", tmp_path / "." / "a.png")


def test_a_picture_needs_matplotlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: object) -> object:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    check_files(tmp_path / "scores.csv", None)
    with pytest.raises(UserError, match=r"minispiral\[plots\]"):
        check_files(None, tmp_path / "curves.png")
