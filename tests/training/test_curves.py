"""The curves of a run show everything that was measured."""

import builtins

import numpy as np
import pytest

from minispiral.data.photos import read_photo
from minispiral.errors import UserError
from minispiral.training.curves import save_curves

METRICS = """\
step,epoch,loss,precision,recall,f1,val_average_precision,val_precision,val_recall,val_f1
10,1,2.5,0.1,0.2,0.13,,,,
20,1,inf,0.2,0.3,0.24,0.25,0.2,0.3,0.24
30,2,1.5,0.3,nan,0.34,,,,
40,2,1.0,0.4,0.5,0.44,0.45,0.4,0.5,0.44
"""


def has_colour(picture, html):
    colour = [int(html[i : i + 2], 16) for i in (1, 3, 5)]
    return np.sum(np.all(np.abs(picture.astype(int) - colour) < 12, axis=2)) > 20


def test_curves_of_training_and_validation(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "metrics.csv").write_text(METRICS)
    assert save_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    picture = read_photo(tmp_path / "curves.png")
    assert min(picture.shape[:2]) > 500
    assert all(has_colour(picture, html) for html in ("#0072B2", "#D55E00", "#009E73"))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["curves.png", "metrics.csv"]


@pytest.mark.parametrize(
    "text",
    [
        METRICS.splitlines()[0] + "\n10,1,2.5,0.1,0.2,0.13,,,,\n",
        "step,epoch,loss\n1,1,2.0\n2,1,1.5\n3,",
        METRICS.splitlines()[0] + "\n10,1,nan,,,,,,,\n",
    ],
)
def test_curves_of_a_run_that_just_began(tmp_path, text):
    pytest.importorskip("matplotlib")
    (tmp_path / "metrics.csv").write_text(text)
    assert save_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    assert read_photo(tmp_path / "curves.png").min() < 50


def test_no_curves_before_anything_was_measured(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "metrics.csv").write_text(METRICS.splitlines()[0] + "\n")
    assert not save_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_curves_refuse_what_is_no_metrics_file(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(UserError, match=r"missing\.csv cannot be read"):
        save_curves(tmp_path / "missing.csv", tmp_path / "curves.png")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no column called step"):
        save_curves(tmp_path / "other.csv", tmp_path / "curves.png")


def test_no_curves_without_matplotlib(tmp_path, monkeypatch):
    plain_import = builtins.__import__

    def without_matplotlib(name, *args, **kwargs):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return plain_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    (tmp_path / "metrics.csv").write_text(METRICS)
    assert not save_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
