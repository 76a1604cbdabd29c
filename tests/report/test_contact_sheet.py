"""The contact sheet: one page, legible without network, masks on their photographs."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minispiral.data.check import check
from minispiral.report.contact_sheet import CRACK, ContactSheet, detail, whole
from minispiral.report.page import page, text
from tests.small import make_dataset, make_photo, write_pair


class Elements(HTMLParser):
    """Collects the elements of a page with their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.found, self.text, self.open = [], "", []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def sheet_of(data, val=None):
    sheet = ContactSheet()
    found = check(data, val, seen=sheet.add)
    path = Path(data).parent / "page.html"
    sheet.write(path, found)
    return Elements(path.read_text(encoding="utf-8")), found


def test_every_photograph_is_on_the_page_and_nothing_is_fetched(tmp_path, rng):
    data = make_dataset(tmp_path / "data", rng, 3, without_crack=1)
    val = make_dataset(tmp_path / "val", rng, 2)
    page, found = sheet_of(data, val)
    assert page.open == []
    pictures = [attrs for tag, attrs in page.found if tag == "img"]
    assert len(pictures) == 2 * 6
    for attrs in pictures:
        kind, _, coded = attrs["src"].partition(",")
        assert kind == "data:image/jpeg;base64"
        picture = Image.open(io.BytesIO(base64.b64decode(coded)))
        assert picture.size == (int(attrs["width"]), int(attrs["height"]))
        assert attrs["alt"]
    used = [value for _, attrs in page.found for value in attrs.values() if value]
    assert not [value for value in used if re.match(r"(https?:)?//", value)]
    assert not [tag for tag, _ in page.found if tag in ("script", "link", "iframe")]
    ids = [attrs["id"] for _, attrs in page.found if "id" in attrs]
    assert len(set(ids)) == len(ids) == 6
    targets = {attrs["href"][1:] for tag, attrs in page.found if tag == "a"}
    assert targets <= set(ids)
    assert found.data.dataset.summary() in page.text
    assert "has no crack pixel" in page.text


def test_names_are_escaped(tmp_path, rng):
    write_pair(tmp_path / "a & <b>", "<i>&amp;", *make_photo(rng, 40, 60))
    page, _ = sheet_of(tmp_path / "a & <b>")
    assert "<i>&amp;" in page.text
    assert "a & <b>" in page.text
    assert "i" not in {tag for tag, _ in page.found}


def test_names_that_are_no_utf8():
    assert text("wall\udcff") == "wall\\udcff"
    assert "\\udcff" in page("wall\udcff", "")
    page("wall\udcff", "").encode()


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (97, 300), (400, 1), (723, 411)])
def test_every_crack_pixel_is_seen_where_it_is(rng, size):
    h, w = size
    photo = rng.integers(0, 200, (h, w, 3), dtype=np.uint8)
    y, x = int(rng.integers(h)), int(rng.integers(w))
    mask = np.zeros(size, bool)
    mask[y, x] = True
    small = whole(photo, mask)
    assert max(small.shape[:2]) == min(max(size), 360)
    found = np.argwhere((small == CRACK).all(axis=2))
    assert len(found) == 1
    assert found[0] == pytest.approx((y * small.shape[0] / h, x * small.shape[1] / w), abs=1)


def test_detail_outlines_the_crack_and_leaves_it_bare(rng):
    photo = rng.integers(0, 200, (300, 400, 3), dtype=np.uint8)
    mask = np.zeros((300, 400), bool)
    mask[210:213, 300:340] = True
    large = detail(photo, mask)
    outline = (large == CRACK).all(axis=2)
    assert np.count_nonzero(outline) == 2 * (4 * 40 + 1 + 4 * 3 + 1)
    rows, columns = np.nonzero(outline)
    inside = large[rows.min() + 1 : rows.max(), columns.min() + 1 : columns.max()]
    assert np.array_equal(inside[::4, ::4], photo[210:213, 300:340])
    bare = detail(photo, np.zeros_like(mask))
    assert not (bare == CRACK).all(axis=2).any()
