"""Pictures: which pixels they change, and that nothing measured is left out."""

import builtins

import numpy as np
import pytest

from minispiral.data.photos import read_photo
from minispiral.detection import pictures as figures
from minispiral.errors import UserError

METRICS = """\
step,epoch,loss,precision,recall,f1,val_average_precision,val_precision,val_recall,val_f1
10,1,2.5,0.1,0.2,0.13,,,,
20,1,inf,0.2,0.3,0.24,0.25,0.2,0.3,0.24
30,2,1.5,0.3,nan,0.34,,,,
40,2,1.0,0.4,0.5,0.44,0.45,0.4,0.5,0.44
"""


def test_overlay_paints_the_detections_alone(rng):
    photo = rng.integers(0, 256, (7, 9, 3), np.uint8)
    original = photo.copy()
    probability = rng.random((7, 9), np.float32)
    picture = figures.overlay(photo, probability, threshold=0.7)
    assert picture.dtype == np.uint8
    assert np.all(picture[probability >= 0.7] == figures.DETECTED)
    np.testing.assert_array_equal(picture[probability < 0.7], photo[probability < 0.7])
    np.testing.assert_array_equal(photo, original)


def test_overlay_tells_hits_misses_and_false_alarms_apart(rng):
    photo = rng.integers(0, 256, (2, 2, 3), np.uint8)
    probability = np.array([[0.9, 0.1], [0.5, 0.2]], np.float32)
    truth = np.array([[True, True], [False, False]])
    picture = figures.overlay(photo, probability, truth=truth)
    assert tuple(picture[0, 0]) == figures.HIT
    assert tuple(picture[0, 1]) == figures.MISS
    assert tuple(picture[1, 0]) == figures.FALSE_ALARM
    assert len(set(picture[1, 1].tolist())) == 1  # grey


def test_overlay_refuses_sizes_that_differ(rng):
    photo, probability = np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.float32)
    with pytest.raises(UserError, match=r"probability map.*\(5, 4\)"):
        figures.overlay(photo, probability.T)
    with pytest.raises(UserError, match=r"truth.*\(4, 4\)"):
        figures.overlay(photo, probability, truth=np.zeros((4, 4), bool))


@pytest.mark.parametrize("captions", [None, [["", "F1 0.50", "a caption far too long " * 4]] * 2])
def test_side_by_side_shows_every_picture(rng, captions):
    colours = rng.integers(30, 226, (2, 3))
    width, h, w = 120, 33, 44
    rows = [[np.full((h, w, 3), c, np.uint8) for c in row] for row in colours]
    rows[0][1] = np.full((h, w), colours[0, 1], np.uint8)  # grey
    rows[1][2] = np.ones((h, w), bool)
    colours[1, 2] = 255
    sheet = figures.side_by_side(["photograph", "truth", "found"], rows, captions, width)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] > 3 * width
    for colour in colours.ravel():
        assert np.sum(np.all(sheet == colour, axis=2)) >= width * (width * h // w)
    for _, colour in figures.LEGEND:
        assert np.any(np.all(sheet == colour, axis=2))
    dark = np.all(sheet < 30, axis=2)  # the letters
    assert np.any(dark)
    assert not np.any(dark[:, :1] | dark[:, -1:])


def test_side_by_side_leaves_no_room_for_titles_that_are_empty():
    cell = np.zeros((20, 20), np.uint8)
    titled, bare = (figures.side_by_side([t, ""], [[cell, cell]], width=240) for t in ("a", ""))
    first_dark = [int(np.argmax(sheet[:, 20, 0] == 0)) for sheet in (titled, bare)]
    assert first_dark == [10 + 24, 10]  # the gap, and a line of a tenth of the width
    assert titled.shape[0] == bare.shape[0] + 24
    np.testing.assert_array_equal(titled[34:], bare[10:])


def test_side_by_side_keeps_a_hairline_when_it_shrinks():
    mask = np.zeros((1000, 1000), bool)
    mask[:, 499:502] = True
    sheet = figures.side_by_side(["truth"], [[mask]], width=200, legend=False)
    picture = sheet[100, 20:190]
    assert picture.min() == 0
    assert picture.max() > 80


def test_side_by_side_refuses_what_does_not_line_up():
    cell = np.zeros((3, 3), np.uint8)
    with pytest.raises(UserError, match=r"1 entries .* 2 titles"):
        figures.side_by_side(["a", "b"], [[cell, cell], [cell]])
    with pytest.raises(UserError, match=r"1 rows of captions .* 2 rows"):
        figures.side_by_side(["a"], [[cell], [cell]], captions=[["text"]])


def has_colour(picture, html):
    colour = [int(html[i : i + 2], 16) for i in (1, 3, 5)]
    return np.sum(np.all(np.abs(picture.astype(int) - colour) < 12, axis=2)) > 20


def test_curves_of_training_and_validation(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "metrics.csv").write_text(METRICS)
    assert figures.save_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
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
    assert figures.save_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    assert read_photo(tmp_path / "curves.png").min() < 50


def test_no_curves_before_anything_was_measured(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "metrics.csv").write_text(METRICS.splitlines()[0] + "\n")
    assert not figures.save_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_curves_refuse_what_is_no_metrics_file(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(UserError, match=r"missing\.csv cannot be read"):
        figures.save_curves(tmp_path / "missing.csv", tmp_path / "curves.png")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no column called step"):
        figures.save_curves(tmp_path / "other.csv", tmp_path / "curves.png")


def test_no_curves_without_matplotlib(tmp_path, monkeypatch):
    plain_import = builtins.__import__

    def without_matplotlib(name, *args, **kwargs):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return plain_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    (tmp_path / "metrics.csv").write_text(METRICS)
    assert not figures.save_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
