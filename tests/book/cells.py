"""Runs a chapter of the book cell by cell, as a notebook does, and prints its figures as hashes.

Run as a script: ``python tests/book/cells.py CHAPTER.py``. The one line on standard output is JSON:
for each figure the number of its cell and a hash of its pixels. Cells that begin with the line
``# measured`` draw times, which no two runs share: their figures are left out.
"""

import hashlib
import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "docs" / "site"))

from chapter import execute, parse

MEASURED = "# measured"


def text(path: Path) -> str:
    """All that is written in the script's cells of text."""
    cells = parse(path.read_text(encoding="utf-8"))
    return "\n\n".join(cell.text for cell in cells if cell.kind == "markdown")


def run(path: Path) -> list[tuple[int, str]]:
    """Run the cells of code; cell number and hash of every figure."""
    from matplotlib import pyplot as plt

    figures = []
    for number, (cell, _) in enumerate(execute(path)):
        for figure in map(plt.figure, plt.get_fignums()):
            figure.canvas.draw()
            pixels = hashlib.sha256(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]
            if not cell.text.startswith(MEASURED):
                figures.append((number, pixels.hexdigest()))
    return figures


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]).resolve())))
