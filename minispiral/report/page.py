"""A self-contained HTML page: its frame, its style, and pictures embedded in it."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
from numpy.typing import NDArray

# Black on white, with the reader's own fonts; a card is not torn apart between sheets of paper.
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #111; background: #fff;
       max-width: 1180px; margin: 24px auto; padding: 0 16px; }
h1 { font-size: 1.5em; } h2 { font-size: 1.2em; margin-top: 1.6em; }
table { border-collapse: collapse; margin: 8px 0; }
th, td { text-align: left; vertical-align: top; padding: 2px 14px 2px 0; font-weight: normal; }
th { color: #555; }
li { margin: 2px 0; overflow-wrap: anywhere; }
a { color: inherit; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(500px, 1fr)); gap: 16px; }
.card { border: 1px solid #999; padding: 8px; break-inside: avoid; }
.card.doubtful { border: 3px solid #b00; }
.card h3 { font-size: 1em; margin: 0 0 4px; overflow-wrap: anywhere; }
.card p { margin: 4px 0 0; font-size: 0.9em; overflow-wrap: anywhere; }
.card .doubt { color: #b00; }
.pictures { display: grid; grid-template-columns: 1fr 1fr; gap: 6px; align-items: start; }
.pictures img { width: 100%; height: auto; display: block; }
.key { display: inline-block; width: 1em; height: 1em; vertical-align: -0.15em;
       border: 1px solid #111; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
@media print {
  @page { margin: 12mm; }
  body { font-size: 10pt; margin: 0; padding: 0; max-width: none; }
  .cards { grid-template-columns: 1fr 1fr; gap: 4mm; }
}
"""


def page(title: str, body: str) -> str:
    """A whole page with ``title``, which is escaped, around ``body``, which is HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{text(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def text(string: str) -> str:
    """``string`` as text of a page, see `printable`."""
    return html.escape(printable(string))


def printable(name: str) -> str:
    r"""A string that a page can hold: bytes of file names that are no UTF-8 become ``\udcff``."""
    return name.encode("utf-8", "backslashreplace").decode()


def picture(pixels: NDArray[np.uint8], description: str) -> str:
    """A picture (h, w, 3) embedded as JPEG; ``description`` stands in for it."""
    from PIL import Image

    file = io.BytesIO()
    # Chroma subsampling would smear thin coloured lines.
    Image.fromarray(pixels).save(file, "JPEG", quality=80, subsampling=0)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    h, w = pixels.shape[:2]
    return (
        f'<img src="data:image/jpeg;base64,{data}" width="{w}" height="{h}" '
        f'alt="{text(description)}">'
    )


def table(rows: list[tuple[str, str]]) -> str:
    """Two columns, of names and of what there is to say about them, both text."""
    cells = (f"<tr><th>{text(name)}</th><td>{text(value)}</td></tr>" for name, value in rows)
    return f"<table>{''.join(cells)}</table>"
