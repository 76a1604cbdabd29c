"""Overlays and side-by-side pictures: which pixels they change, and that nothing is left out."""

import numpy as np
import pytest

from minispiral.detection import pictures
from minispiral.errors import UserError


def test_overlay_paints_the_detections_alone(rng):
    photo = rng.integers(0, 256, (7, 9, 3), np.uint8)
    original = photo.copy()
    crack = rng.random((7, 9)) < 0.3
    picture = pictures.overlay(photo, crack)
    assert picture.dtype == np.uint8
    assert np.all(picture[crack] == pictures.DETECTED)
    np.testing.assert_array_equal(picture[~crack], photo[~crack])
    np.testing.assert_array_equal(photo, original)


def test_overlay_tells_hits_misses_and_false_alarms_apart(rng):
    photo = rng.integers(0, 256, (2, 2, 3), np.uint8)
    crack = np.array([[True, False], [True, False]])
    truth = np.array([[True, True], [False, False]])
    picture = pictures.overlay(photo, crack, truth)
    assert tuple(picture[0, 0]) == pictures.HIT
    assert tuple(picture[0, 1]) == pictures.MISS
    assert tuple(picture[1, 0]) == pictures.FALSE_ALARM
    assert len(set(picture[1, 1].tolist())) == 1  # grey


def test_overlay_refuses_sizes_that_differ(rng):
    photo, crack = np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), bool)
    with pytest.raises(UserError, match=r"crack mask.*\(5, 4\)"):
        pictures.overlay(photo, crack.T)
    with pytest.raises(UserError, match=r"truth.*\(4, 4\)"):
        pictures.overlay(photo, crack, truth=np.zeros((4, 4), bool))


@pytest.mark.parametrize("captions", [None, [["", "F1 0.50", "a caption far too long " * 4]] * 2])
def test_side_by_side_shows_every_picture(rng, captions):
    colours = rng.integers(30, 226, (2, 3))
    width, h, w = 120, 33, 44
    rows = [[np.full((h, w, 3), c, np.uint8) for c in row] for row in colours]
    rows[0][1] = np.full((h, w), colours[0, 1], np.uint8)  # grey
    rows[1][2] = np.ones((h, w), bool)
    colours[1, 2] = 255
    sheet = pictures.side_by_side(["photograph", "truth", "found"], rows, captions, width)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] > 3 * width
    for colour in colours.ravel():
        assert np.sum(np.all(sheet == colour, axis=2)) >= width * (width * h // w)
    for _, colour in pictures.LEGEND:
        assert np.any(np.all(sheet == colour, axis=2))
    dark = np.all(sheet < 30, axis=2)  # the letters
    assert np.any(dark)
    assert not np.any(dark[:, :1] | dark[:, -1:])


def test_side_by_side_leaves_no_room_for_titles_that_are_empty():
    cell = np.zeros((20, 20), np.uint8)
    titled, bare = (pictures.side_by_side([t, ""], [[cell, cell]], width=240) for t in ("a", ""))
    first_dark = [int(np.argmax(sheet[:, 20, 0] == 0)) for sheet in (titled, bare)]
    assert first_dark == [10 + 24, 10]  # the gap, and a line of a tenth of the width
    assert titled.shape[0] == bare.shape[0] + 24
    np.testing.assert_array_equal(titled[34:], bare[10:])


def test_side_by_side_keeps_a_hairline_when_it_shrinks():
    mask = np.zeros((1000, 1000), bool)
    mask[:, 499:502] = True
    sheet = pictures.side_by_side(["truth"], [[mask]], width=200, legend=False)
    picture = sheet[100, 20:190]
    assert picture.min() == 0
    assert picture.max() > 80


def test_side_by_side_refuses_what_does_not_line_up():
    cell = np.zeros((3, 3), np.uint8)
    with pytest.raises(UserError, match=r"1 entries .* 2 titles"):
        pictures.side_by_side(["a", "b"], [[cell, cell], [cell]])
    with pytest.raises(UserError, match=r"1 rows of captions .* 2 rows"):
        pictures.side_by_side(["a"], [[cell], [cell]], captions=[["text"]])
