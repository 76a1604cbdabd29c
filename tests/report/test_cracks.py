"""The page of cracks: what is embedded, what is written, and what is said of it."""

import base64
import io
import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from minispiral.errors import UserError
from minispiral.measurement import simplify
from minispiral.measurement.classes import MILLIMETRES, PIXELS, classes_of
from minispiral.measurement.records import Estimate
from minispiral.measurement.scale import Scale
from minispiral.report.cracks import pictures
from minispiral.report.cracks.photograph import Photograph
from minispiral.report.cracks.sections import section
from minispiral.report.cracks.write import levels_with, write_report
from tests.report.measured import CARD, crack_along, measurement_of, random_measurement

VOID = {"meta", "img", "input", "br", "link"}


class Elements(HTMLParser):
    """The elements of a page, all of which must be closed, and its text."""

    def __init__(self, page):
        super().__init__()
        self.found, self.text, self.open = [], "", []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def opened(url):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("L"))


def made_at_random(rng, name="wall.jpg", scale=None):
    measured = random_measurement(rng, scale)
    size = measured.height, measured.width
    pixels = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
    return Photograph(name, pixels, rng.random(size, dtype=np.float32), measured)


def written(tmp_path, *photographs, **options):
    path = tmp_path / "report.html"
    assert write_report(path, photographs, CARD, **options) == []
    return path.read_text(encoding="utf-8")


def test_page_is_whole_and_fetches_nothing(rng, tmp_path):
    page = written(tmp_path, made_at_random(rng), made_at_random(rng, "a <i> & b", Scale(0.1)))
    found = Elements(page)
    assert "a <i> & b" in found.text
    assert "i" not in {tag for tag, _ in found.found}
    used = [value for _, attrs in found.found for value in attrs.values() if value]
    assert not [value for value in used if re.match(r"(https?:)?//", value)]
    assert not [
        1 for tag, attrs in found.found if tag == "link" or ("src" in attrs) > (tag == "img")
    ]
    assert "url(" not in page
    assert "@import" not in page
    ids = [attrs["id"] for _, attrs in found.found if "id" in attrs]
    assert len(ids) == len(set(ids))
    named = [attrs[key] for _, attrs in found.found for key in LABELS if key in attrs]
    assert {name for value in named for name in value.split()} <= set(ids)
    assert all(attrs["alt"] for tag, attrs in found.found if tag == "img")


LABELS = ("aria-labelledby", "aria-describedby")


def test_table_holds_every_crack_the_widest_first(rng, tmp_path):
    scale = Scale(float(rng.uniform(0.05, 0.3)), 0.02)
    photograph = made_at_random(rng, scale=scale)
    measured = photograph.measurement
    rows = section(1, photograph, levels_with(0.5)).rows
    assert {row.number for row in rows} == {crack.number for crack in measured.cracks}
    widths = [row.p95.value for row in rows]
    assert widths[:3] == sorted(widths[:3], reverse=True)
    assert not rows[3].p95.known  # where nothing is known
    assert rows[3].kind is None
    for row in rows:
        crack = next(crack for crack in measured.cracks if crack.number == row.number)
        assert row.length == pytest.approx(crack.length * scale.mm_per_pixel)
        assert row.p95 == crack.p95.scaled(scale) or not row.p95.known
    page = Elements(written(tmp_path, photograph))
    values = [attrs["value"] for tag, attrs in page.found if tag == "data"]
    assert {str(row.mean.low) for row in rows[:3]} <= set(values)


def test_histogram_stands_for_the_length_whose_width_is_known(rng):
    photograph = made_at_random(rng, scale=Scale(0.2))
    data = json.loads(section(1, photograph, levels_with(0.5)).figures)
    by_number = {crack.number: crack for crack in photograph.measurement.cracks}
    for figure in data["cracks"]:
        places = by_number[figure["number"]].places
        assert figure["widths"] == pytest.approx(
            (places.width[places.counted] * 0.2).tolist(), abs=1e-4
        )
        assert figure["step"] == pytest.approx(0.2 * np.median(np.diff(places.at)), abs=1e-3)


@pytest.mark.parametrize("block", [2, 3, 5])
def test_no_probable_pixel_is_lost_when_the_map_is_reduced(rng, block):
    size = (int(rng.integers(20, 60)), int(rng.integers(20, 60)))
    values = rng.integers(0, 200, size, dtype=np.uint8)
    found = pictures._greatest(values, block)
    assert found.shape == tuple(-(-side // block) for side in size)
    for (y, x), greatest in np.ndenumerate(found):
        assert greatest == values[y * block : (y + 1) * block, x * block : (x + 1) * block].max()


def test_levels_tell_what_lies_above_the_threshold(rng):
    threshold = float(rng.uniform(0.02, 0.98))
    levels = levels_with(threshold)
    assert len(levels) == 15
    assert levels == sorted(set(levels))
    measured = random_measurement(rng)
    values = rng.integers(0, 256, (measured.height, measured.width), dtype=np.uint8)
    made = pictures.embed(np.zeros((*values.shape, 3), np.uint8), values, measured.cracks, levels)
    level = levels.index(threshold) + 1
    assert np.array_equal(opened(made.chances) >= 17 * level, values / 255 >= threshold)


def large(rng, monkeypatch):
    """A photograph that is reduced, with a narrow crack at its top and a wide one at its bottom."""
    monkeypatch.setattr(pictures, "SIDE", 600)
    h, w = 1170, 1555
    cracks = []
    for number, row, width in ((1, 40, 1.0), (2, 1120, 3.0)):
        points = np.stack([np.arange(30, 1500) + 0.5, np.full(1470, row + 0.5)], axis=1)
        cracks.append(crack_along(rng, number, points, np.full(1470, width)))
    pixels = rng.integers(0, 255, (h, w, 3), dtype=np.uint8)
    return pixels, np.zeros((h, w), np.uint8), cracks


def test_cracks_are_embedded_at_full_resolution(rng, monkeypatch):
    pixels, chances, cracks = large(rng, monkeypatch)
    made = pictures.embed(pixels, chances, cracks, levels_with(0.5))
    assert made.reduction == 3
    assert made.size == (519, 390)
    assert opened(made.photo).shape == opened(made.chances).shape == (390, 519)
    assert made.wanted == len(made.tiles)
    assert {(x, y) for x, y, _ in made.tiles} == {(512 * k, y) for k in range(3) for y in (0, 1024)}
    for x, y, url in made.tiles:
        true = np.asarray(Image.fromarray(pixels[y : y + 512, x : x + 512]).convert("L"), float)
        assert np.corrcoef(opened(url).ravel(), true.ravel())[0, 1] > 0.9


def test_page_keeps_to_its_size_and_shows_the_widest_first(rng, monkeypatch):
    pixels, chances, cracks = large(rng, monkeypatch)
    whole = pictures.embed(pixels, chances, cracks, levels_with(0.5))
    share = len(whole.photo) * 2 + len(whole.tiles[0][2]) * 2
    made = pictures.embed(pixels, chances, cracks, levels_with(0.5), share)
    used = len(made.photo) + len(made.chances) + sum(len(url) for _, _, url in made.tiles)
    assert used <= share
    assert 0 < len(made.tiles) < made.wanted
    assert {y for _, y, _ in made.tiles[:3]} == {1024}  # where the wider crack is
    small = pictures.embed(pixels, chances, cracks, levels_with(0.5), 40_000)
    assert small.reduction > 3
    assert len(small.photo) < 80_000


def test_line_stays_where_it_was_with_few_points(rng):
    n = int(rng.integers(100, 300))
    angle = np.cumsum(rng.normal(0, 0.05, n))
    points = np.cumsum(np.stack([np.cos(angle), np.sin(angle)], axis=1), axis=0)
    kept = simplify.simplified(points)
    assert len(kept) < n / 3
    assert np.array_equal(kept[[0, -1]], points[[0, -1]])
    for point in points:
        away = min(distance(point, *ends) for ends in pairwise(kept))
        assert away <= simplify.TOLERANCE + 0.01  # from point to point of `distance`


def distance(point, start, end):
    """From a point to a segment."""
    along = np.linspace(0, 1, 400)[:, None]
    return np.hypot(*(start + along * (end - start) - point).T).min()


def test_classes_hold_their_lower_bound():
    assert [MILLIMETRES.of(width) for width in (0, 0.049, 0.05, 0.1, 0.2, 0.29, 0.3, 9)] == [
        *(0, 0, 1, 2, 3, 3, 4, 4)
    ]
    assert [MILLIMETRES.label(k) for k in range(len(MILLIMETRES))] == [
        *("< 0.05", "0.05-0.1", "0.1-0.2", "0.2-0.3", ">= 0.3")
    ]


def test_class_is_that_of_the_shown_width(rng):
    measured = random_measurement(rng)
    crack = replace(measured.cracks[0], p95=Estimate(1.5, 1, 2))
    assert classes_of(measured) is PIXELS
    assert PIXELS.of_crack(measured, crack) == 2
    scaled = measured.with_scale(Scale(0.3))
    assert classes_of(scaled).of_crack(scaled, crack) == 4  # 0.45 mm


def test_start_draws_every_crack_or_is_where_it_was_asked_for(rng, tmp_path):
    photograph = made_at_random(rng)
    least = min(crack.probability for crack in photograph.measurement.cracks)

    def start(**options):
        data = re.search(
            r'id="levels">(.*?)</script>', written(tmp_path, photograph, **options)
        ).group(1)
        found = json.loads(data)
        return 0.0 if not found["start"] else found["levels"][found["start"] - 1]

    assert start() <= min(least, CARD.threshold) < start() + 1 / 8
    assert start(threshold=0.71) == 0.71
    assert start(threshold=0.0) == 0


def test_photograph_that_cannot_be_read_does_not_cost_the_others(rng, tmp_path):
    good, bad = made_at_random(rng, "good.jpg"), made_at_random(rng, "bad.jpg")
    bad = replace(bad, pixels=tmp_path / "gone.jpg")
    other = replace(made_at_random(rng, "other.jpg"), probability=np.zeros((3, 5)))
    path = tmp_path / "report.html"
    failed = write_report(path, [bad, other, good], CARD, unread=[("broken.jpg", "truncated")])
    assert [name for name, _ in failed] == ["bad.jpg", "other.jpg"]
    assert "gone.jpg" in failed[0][1]
    assert "probability map is 5 x 3 pixels, expected the 241 x 183" in failed[1][1]
    page = Elements(path.read_text(encoding="utf-8"))
    assert len([1 for tag, _ in page.found if tag == "img"]) == 1
    assert len([1 for _, attrs in page.found if attrs.get("class") == "cracks"]) == 3
    assert "broken.jpg: truncated" in page.text


def test_missing_template_engine_is_named(rng, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UserError, match=r"pip install 'minispiral\[measure\]'"):
        write_report(tmp_path / "report.html", [made_at_random(rng)], CARD)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_impossible_threshold_is_refused(rng, tmp_path, threshold):
    with pytest.raises(UserError, match="expected 0 to 1"):
        write_report(tmp_path / "report.html", [], CARD, threshold)


def test_page_of_a_wall_without_cracks(rng, tmp_path):
    size = 40, 70
    measured = measurement_of(rng, [], size)
    photograph = Photograph(
        "wall\udcff.jpg", np.zeros((*size, 3), np.uint8), np.zeros(size), measured
    )
    page = Elements(written(tmp_path, photograph))
    assert "No crack was found." in page.text
    assert "wall\\udcff.jpg" in page.text
