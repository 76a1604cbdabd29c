"""Runs a chapter of the book cell by cell, as a notebook does, and prints its figures as hashes.

Run as a script: ``python tests/book_cells.py CHAPTER.py``. The one line on standard output is JSON:
for each figure the number of its cell and a hash of its pixels. Cells that begin with the line
``# measured`` draw times, which no two runs share: their figures are left out.
"""

import hashlib
import json
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

MEASURED = "# measured"


class Cell(NamedTuple):
    """A cell: the line it begins on, from 1, whether it is text, and its lines without marks."""

    line: int
    is_text: bool
    lines: list[str]

    @property
    def source(self) -> str:
        return "\n".join(self.lines)


def cells(path: Path) -> list[Cell]:
    """The cells of a script in the percent format."""
    found: list[Cell] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("# %%"):
            found.append(Cell(number + 1, line.startswith("# %% [markdown]"), []))
        elif found:
            cell = found[-1]
            cell.lines.append(re.sub("^# ?", "", line) if cell.is_text else line)
    return found


def text(path: Path) -> str:
    """All that is written in the script's cells of text."""
    return "\n\n".join(cell.source for cell in cells(path) if cell.is_text)


def run(path: Path) -> list[tuple[int, str]]:
    """Run the cells of code; cell number and hash of every figure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names: dict[str, Any] = {"__name__": "__main__", "__file__": str(path)}
    figures = []
    for number, cell in enumerate(cells(path)):
        if cell.is_text:
            continue
        above = "\n" * (cell.line - 1)  # so that a traceback names the line of the script
        exec(compile(above + cell.source, str(path), "exec"), names)
        for figure in map(plt.figure, plt.get_fignums()):
            figure.canvas.draw()
            pixels = hashlib.sha256(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]
            if not cell.source.startswith(MEASURED):
                figures.append((number, pixels.hexdigest()))
        plt.close("all")
    return figures


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):
        found = run(Path(sys.argv[1]).resolve())
    print(json.dumps(found))
