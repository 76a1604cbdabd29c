"""The first use of each term in a chapter becomes a link to its row in docs/book/words.md."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "book" / "words.md"
_ROW = re.compile(r"^\| (\*\*.+?\*\*) \|.*\| (\d+) \|$", re.MULTILINE)
_NOT_PROSE = re.compile(
    r"^ *```[\s\S]*?^ *```$|\$\$[^$]*\$\$|\$[^$]+\$|`[^`\n]+`|!?\[[^\]]*\]\([^)]*\)"
    r"|^(?:#|\||    ).*$",
    re.MULTILINE,
)


def slug(term: str) -> str:
    """The anchor of a term."""
    return re.sub(r"\W+", "-", term.lower())


def terms() -> Iterator[tuple[list[str], int]]:
    """The names of each term, the first of which has the anchor, and its chapter."""
    for row in _ROW.finditer(PAGE.read_text(encoding="utf-8")):
        yield re.findall(r"\*\*(.+?)\*\*", row[1]), int(row[2])


def with_anchors(page: str) -> str:
    """The page of words with a place to lead to in each row."""

    def anchored(row: re.Match[str]) -> str:
        term = re.findall(r"\*\*(.+?)\*\*", row[1])[0]
        return f'| <span id="{slug(term)}"></span>' + row[0].removeprefix("| ")

    return _ROW.sub(anchored, page)


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    """By anchor, what a use of the term looks like, plurals included."""
    return {
        slug(names[0]): re.compile(
            rf"(?<![\w-])(?:{'|'.join(map(re.escape, names))})s?(?![\w-])", re.IGNORECASE
        )
        for names, _ in terms()
    }


def first_uses(text: str) -> dict[str, tuple[int, int]]:
    """By anchor, where in the Markdown each term is first used in prose."""
    blank = _NOT_PROSE.sub(lambda part: " " * len(part[0]), text)
    found = {}
    for anchor, pattern in _patterns().items():
        if use := pattern.search(blank):
            found[anchor] = use.span()
    return found


def linked(text: str, seen: set[str]) -> str:
    """The text of a cell with links at the first uses of terms that are not in ``seen``.

    ``seen`` grows by these. Of terms within each other, such as convolution and transposed
    convolution, the longer one is linked.
    """
    uses = {a: span for a, span in first_uses(text).items() if a not in seen}
    kept: list[tuple[int, int, str]] = []
    for anchor, (start, end) in sorted(uses.items(), key=lambda use: use[1][0] - use[1][1]):
        if all(end <= other[0] or start >= other[1] for other in kept):
            kept.append((start, end, anchor))
            seen.add(anchor)
    for start, end, anchor in sorted(kept, reverse=True):
        text = f"{text[:start]}[{text[start:end]}](words.md#{anchor}){text[end:]}"
    return text
