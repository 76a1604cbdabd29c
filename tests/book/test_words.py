"""The page of words: each term is explained in its chapter, and linked at its first use."""

import re
import sys

import pytest

from tests.book.cells import text
from tests.small import ROOT

sys.path.append(str(ROOT / "docs" / "site"))

import words

BOOK = ROOT / "docs" / "book"
TERMS = list(words.terms())


@pytest.mark.parametrize(("names", "number"), TERMS, ids=[names[0] for names, _ in TERMS])
def test_a_term_is_explained_in_its_chapter(names: list[str], number: int) -> None:
    """Where a chapter explains a term, it is written in bold or in italics."""
    (chapter,) = BOOK.glob(f"{number:02d}_*.py")
    said = " ".join(text(chapter).split())
    assert any(re.search(rf"\*{re.escape(name)}s?\*", said, re.IGNORECASE) for name in names)


def test_no_term_stands_twice() -> None:
    anchors = [words.slug(name) for names, _ in TERMS for name in names]
    assert len(anchors) == len(set(anchors))


def test_the_first_use_in_prose_is_linked_once_and_the_longer_term_wins() -> None:
    seen: set[str] = set()
    cell = (
        "# A kernel\n\nThe `kernel` of a transposed convolution, its $kernel$ and two kernels.\n\n"
        "| kernel | here |\n\n    kernel\n"
    )
    first = words.linked(cell, seen)
    assert "a [transposed convolution](words.md#transposed-convolution), its" in first
    assert "two [kernels](words.md#kernel)." in first
    assert first.count("words.md") == 2
    second = words.linked("A kernel of a convolution. A re-convolution.", seen)
    assert second == "A kernel of a [convolution](words.md#convolution). A re-convolution."


def test_every_link_has_its_row() -> None:
    page = words.with_anchors(words.PAGE.read_text(encoding="utf-8"))
    for names, _ in TERMS:
        assert f'<span id="{words.slug(names[0])}"></span>**{names[0]}**' in page
