"""The book as one PDF, and slides of a chapter, printed by Chromium.

    mkdocs build --strict
    python docs/site/printed.py book book.pdf
    python docs/site/printed.py slides 2 slides.pdf

Both take the pages of the built site (``--site``), so that nothing is run again. A chapter's slides
are its goals and each of its figures, under the heading of its section and with its caption.
"""

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 600  # the formulas of nine chapters take a while

_ARTICLE = re.compile(r"<article[^>]*>(.*?)</article>", re.DOTALL)
_HEADING_OR_FIGURE = re.compile(
    r"(?P<heading><h[23].*?</h[23]>)"
    r"|<figure>.*?(?P<picture><img[^>]*>).*?<figcaption>(?P<caption>.*?)</figcaption>",
    re.DOTALL,
)
_ELSEWHERE = re.compile(r"<p><em>This page as a script.*?</p>", re.DOTALL)
_CODE = re.compile(r'<div class="[^"]*\bhighlight">.*?</div>', re.DOTALL)
_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
{styles}
<link rel="stylesheet" href="../site/style.css">
<style>
  html {{ font-size: 100%; }}
  body {{ background: #fff; margin: 0; }}
  .headerlink, .md-code__nav, nav {{ display: none !important; }}
  {style}
</style>
<script src="../site/math.js"></script><script src="../site/mathjax.js"></script>
<body dir="ltr" data-md-color-scheme="default"><div class="md-typeset">
"""
_BOOK = """
  @page { size: A4; margin: 18mm 16mm; @bottom-center { content: counter(page); font: 9pt serif; } }
  .md-typeset { font-size: 10pt; }
  .md-typeset pre > code { font-size: 7.5pt; orphans: 4; widows: 4; white-space: pre-wrap; }
  .md-typeset pre > code, .md-typeset div.arithmatex, .picture { overflow: visible !important; }
  .md-typeset mjx-container > svg { max-width: 100%; }
  .md-typeset div.arithmatex { padding-top: 1mm; }
  .md-typeset table:not([class]) { display: table; width: auto; }
  section { break-before: page; }
  figure, tr, .short, table:not(:has(tr:nth-child(13))) { break-inside: avoid; }
  img { display: block; margin: auto; max-height: 220mm; max-width: 88%; }
  h2, h3, p:has(+ div.arithmatex), p:has(+ ul) { break-after: avoid; }
  .printed { break-before: avoid; }
"""
_SLIDES = """
  @page { size: 254mm 143mm; margin: 8mm 12mm; }
  .md-typeset { font-size: 13pt; }
  section { break-inside: avoid; display: flex; flex-direction: column; height: 126mm; }
  .md-typeset section h1, .md-typeset section h2 { margin: 0 0 3mm; }
  .md-typeset section li { margin-bottom: 1mm; }
  section img { flex: 1 1 0; min-height: 0; object-fit: contain; width: 100%; }
  .md-typeset section p { font-size: 11pt; margin: 3mm 0; }
"""


def article(page: Path) -> str:
    """What a page of the site says, without what is around it."""
    found = _ARTICLE.search(page.read_text(encoding="utf-8"))
    if found is None:
        raise SystemExit(f"{page} is no page of the site: run `mkdocs build --strict` first")
    return found[1]


def kept(code: re.Match[str]) -> str:
    """Code that stays on one page if it has at most 24 lines, a third of a page."""
    short = code[0].count("\n") <= 24
    return code[0].replace('class="', 'class="short ', 1) if short else code[0]


def head(site: Path, title: str, style: str) -> str:
    """The beginning of a page beside those of the book, with the theme's style."""
    sheets = sorted((site / "assets" / "stylesheets").glob("*.css"))
    links = (f'<link rel="stylesheet" href="../assets/stylesheets/{s.name}">' for s in sheets)
    return _HEAD.format(title=title, styles="\n".join(links), style=style)


def book(site: Path) -> str:
    """All chapters, the words and the errata as one page; links between them stay within it."""
    pages = [site / "book" / "index.html", *sorted((site / "book").glob("[0-9]*.html"))]
    pages += [site / "book" / "words.html", site / "book" / "errata.html"]
    sections = []
    for page in pages:
        # Names of places are those of their page, for several pages have the same.
        text = _CODE.sub(kept, _ELSEWHERE.sub("", article(page)))
        text = re.sub(r'\bid="([^"]+)"', rf'id="{page.stem}.\1"', text)
        text = re.sub(r'\bhref="#([^"]*)"', rf'href="#{page.stem}.\1"', text)
        for other in pages:
            text = re.sub(rf'\bhref="{other.name}#([^"]*)"', rf'href="#{other.stem}.\1"', text)
            text = text.replace(f'href="{other.name}"', f'href="#{other.stem}"')
        sections.append(f'<section id="{page.stem}">{text}</section>')
    return head(site, "minispiral: the book", _BOOK) + "\n".join(sections)


def slides(site: Path, number: int) -> str:
    """A chapter's goals, and its figures under the headings of their sections."""
    (page,) = (site / "book").glob(f"{number:02d}_*.html")
    text = article(page)
    title = re.search(r"<h1.*?</h1>", text, re.DOTALL)
    goals = re.search(r"<p>After this chapter you can</p>.*?</ul>", text, re.DOTALL)
    if title is None or goals is None:
        raise SystemExit(f"{page} has no title or no goals")
    found = [f"{title[0]}{goals[0]}"]
    heading = ""
    for match in _HEADING_OR_FIGURE.finditer(text):
        if match["heading"]:
            heading = re.sub(r"<(/?)h3", r"<\1h2", match["heading"])
        else:
            found.append(f"{heading}{match['picture']}<p>{match['caption']}</p>")
    sections = (f"<section>{slide}</section>" for slide in found)
    return head(site, re.sub("<.*?>", "", title[0]), _SLIDES) + "\n".join(sections)


def print_to(html: str, site: Path, out: Path) -> None:
    """Have Chromium print a page that lies beside those of the book."""
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        raise SystemExit("Chromium prints the pages, and is not installed")
    page = site / "book" / "printed.html"
    page.write_text(html, encoding="utf-8")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
    options += ["--virtual-time-budget=100000", f"--print-to-pdf={out.absolute()}"]
    options += ["--generate-pdf-document-outline"]
    try:
        with tempfile.TemporaryDirectory() as profile:
            command = [chromium, *options, f"--user-data-dir={profile}", page.absolute().as_uri()]
            subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
    finally:
        page.unlink()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--site", type=Path, default=ROOT / "site", help="the built site")
    what = parser.add_subparsers(dest="what", required=True)
    what.add_parser("book").add_argument("out", type=Path, metavar="FILE.pdf")
    of_chapter = what.add_parser("slides")
    of_chapter.add_argument("chapter", type=int)
    of_chapter.add_argument("out", type=Path, metavar="FILE.pdf")
    asked = parser.parse_args()
    html = book(asked.site) if asked.what == "book" else slides(asked.site, asked.chapter)
    print_to(html, asked.site, asked.out)


if __name__ == "__main__":
    main()
