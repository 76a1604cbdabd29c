"""The chapters as pages and notebooks: folded code, captions, what is in a notebook."""

import ast
import importlib.util
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.small import ROOT

sys.path.append(str(ROOT / "docs" / "site"))

import chapter
import figures
import notebooks

CHAPTERS = sorted(chapter.BOOK.glob("[0-9]*.py"))
CAPTIONED = """<p><img alt="" src="figures/a-1.png"></p>
<p><em>Figure 3.2. With <span class="arithmatex">\\(\\hat{x} &lt; 1\\)</span>, "a <a href="w.html"
>term</a>".</em></p>
<p><em>Figure 3.3. Of another picture.</em></p>
<p><img alt="Its own" src="figures/b.svg"></p>
<p><em>To touch.</em></p>
<p><img alt="A wall" src="c.jpg" /></p>
<p><em>No number.</em></p>"""


class Figures(HTMLParser):
    """The alternative texts of pictures, and what is in the captions."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.alternatives: list[str | None] = []
        self.captions: list[str] = []
        self.inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.alternatives.append(dict(attrs)["alt"])
        if tag == "figcaption":
            self.inside = True
            self.captions.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "figcaption"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.captions[-1] += data


def test_a_caption_is_the_pictures_and_what_is_read_aloud() -> None:
    html = figures.captioned(CAPTIONED)
    found = Figures(html)
    assert found.captions == ['Figure 3.2. With \\(\\hat{x} < 1\\), "a term".']
    assert found.alternatives == ['Figure 3.2. With hat x < 1, "a term".', "Its own", "A wall"]
    assert html.count("<p><em>") == 3
    assert '<a class="picture" href="figures/a-1.png"><img' in html
    assert '<p><img alt="Its own"' in html
    assert '<p><a class="picture" href="c.jpg"><img alt="A wall" src="c.jpg" /></a></p>' in html


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_figure_has_its_code_folded_and_its_caption(path: Path) -> None:
    cells = chapter.parse(path.read_text(encoding="utf-8"))
    for cell, following in zip(cells, [*cells[1:], cells[0]], strict=True):
        if cell.kind == "code":
            computing, drawing = chapter.split(cell.text)
            assert f"{computing}\n{drawing}".split() == (
                cell.text.removeprefix("# measured").split()
            )
            assert "plt.subplots(" not in computing
            ast.parse(computing)
            ast.parse(drawing)
            assert bool(drawing) == following.text.startswith("*Figure"), cell.line
            assert "print(" not in drawing, "its results would stand above its folded code"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_notebook_installs_first_and_says_what_the_chapter_says(path: Path) -> None:
    found = json.loads(notebooks.written(path, None))
    first = next(cell for cell in found["cells"] if cell["cell_type"] == "code")
    assert "".join(first["source"]) == '%pip install --quiet "minispiral[plots]"'
    assert sum("%pip" in "".join(cell["source"]) for cell in found["cells"]) == 1
    code = [c for c in found["cells"] if c["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in code)
    statements = "\n".join("".join(cell["source"]) for cell in code[1:])
    script = path.read_text(encoding="utf-8")
    assert ast.dump(ast.parse(statements)) == ast.dump(ast.parse(script))
    text = "".join(
        "".join(cell["source"]) for cell in found["cells"] if cell["cell_type"] == "markdown"
    )
    assert "<!--" not in text
    prose = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
    targets = re.findall(r'\]\(([^)\s]+)\)|src="([^"]*)', prose)
    for target in map("".join, targets):
        assert re.match(r"https?:|data:image/svg|\d\d_\w+\.ipynb|#", target), target


@pytest.mark.skipif(importlib.util.find_spec("nbformat") is None, reason="nbformat is missing")
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_notebook_is_one_to_jupyter(path: Path) -> None:
    import nbformat

    found: Any = nbformat.reads(notebooks.written(path, None), as_version=4)
    nbformat.validate(found)


def test_with_an_address_it_installs_and_links_from_there(tmp_path: Path) -> None:
    text = "See [the\nwords](words.md#tape), `[no](link)` and [one](https://example.org/)."
    address = "https://example.org/minispiral"
    assert notebooks.portable(text, chapter.BOOK / "x.py", address) == text.replace(
        "words.md", f"{address}/blob/HEAD/docs/book/words.md"
    )
    assert f"@ git+{address}" in notebooks.install(address)
