"""The book as a PDF and its slides, from a site of two small chapters."""

import re
import sys
from pathlib import Path

import pytest

from tests.report.browser import chromium
from tests.small import ROOT

sys.path.append(str(ROOT / "docs" / "site"))

import printed

CHAPTER = """<html><nav>around</nav><article class="md-content"><h1 id="top">{n}. Title</h1>
<p>After this chapter you can</p><ul><li>count;</li></ul>
<h2 id="one">A section<a href="#one">#</a></h2><p>See <a href="02_b.html#one">there</a>, <a
href="02_b.html">all</a> or <a href="../x.html">elsewhere</a>.</p>
<h3 id="two">A part</h3><figure><a class="picture" href="figures/a.svg"><img alt="Figure {n}.1. A
line." src="figures/a.svg"></a><figcaption><em>Figure {n}.1. A line. {caption}</em></figcaption>
</figure><p>More.</p>
<p><img src="figures/loose.svg"></p><p>No caption.</p>
</article></html>"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    book = tmp_path / "site" / "book"
    book.mkdir(parents=True)
    for n, name in enumerate(("01_a", "02_b"), 1):
        (book / f"{name}.html").write_text(CHAPTER.format(n=n, caption="The more it says. " * 30))
    for name in ("index", "words", "errata"):
        (book / f"{name}.html").write_text(f"<article><h1>{name}</h1></article>")
    return tmp_path / "site"


def test_links_between_chapters_stay_in_the_book(site: Path) -> None:
    html = printed.book(site)
    assert re.findall(r'<section id="(.+?)"', html) == ["index", "01_a", "02_b", "words", "errata"]
    assert "around" not in html
    places = set(re.findall(r'\bid="([^"]+)"', html))
    assert len(places) == len(re.findall(r'\bid="', html))
    links = re.findall(r'<a\s+href="([^"]+)"', html)
    assert links.count("../x.html") == 2
    assert {link[1:] for link in links if link != "../x.html"} < places
    assert links.count("#02_b.one") == 3  # two from elsewhere, and the heading's own


def test_a_slide_is_a_figure_under_the_heading_of_its_section(site: Path) -> None:
    goals, figure = re.findall("<section>(.*?)</section>", printed.slides(site, 2), re.DOTALL)
    assert "<h1" in goals
    assert "count;" in goals
    assert ">A part</h2>" in figure
    assert figure.count("<em>Figure 2.1. A line.") == figure.count("<img") == 1
    assert "loose" not in goals + figure


@pytest.mark.skipif(chromium() is None, reason="Chromium is not installed")
def test_each_slide_is_a_page_in_print(site: Path, tmp_path: Path) -> None:
    out = tmp_path / "slides.pdf"
    printed.print_to(printed.slides(site, 1), site, out)
    assert len(re.findall(rb"/Type /Page\b", out.read_bytes())) == 2
    assert not (site / "book" / "printed.html").exists()


def test_a_folder_that_is_no_site_is_refused(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "index.html").write_text("nothing")
    with pytest.raises(SystemExit, match="run `mkdocs build --strict` first"):
        printed.book(tmp_path)
