"""Runs a chapter of the book cell by cell, as a notebook does; checks its text, hashes its figures.

Run as a script: ``python tests/book/cells.py CHAPTER.py``. The one line on standard output is JSON:
the ``figures``, each the number of its cell and a hash of its pixels, and what is ``wrong`` in the
text. Cells that begin with the line ``# measured`` draw times, which no two runs share: their
figures are left out.

What the text says is checked where it stands, with the names of the cells before it, or at the end
of the run if one of the names comes later::

    modules 6 and 7 hold 72 % <!-- = 100 * sum(by_module[5:]) / sum(by_module) --> of them
    almost three quarters <!-- holds 0.7 < sum(by_module[5:]) / sum(by_module) < 0.75 -->

Behind ``=`` stands what the number before the check is, rounded as the number is written. What no
cell imports is found by ``resolve_name``, that of pkgutil.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

sys.path.append(str(Path(__file__).parents[2] / "docs" / "site"))

from chapter import CHECK, execute, parse, shown

MEASURED = "# measured"
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")


def text(path: Path) -> str:
    """All that is written in the script's cells of text, as it is read."""
    cells = parse(path.read_text(encoding="utf-8"))
    return "\n\n".join(shown(cell.text) for cell in cells if cell.kind == "markdown")


def checks(written: str) -> Iterator[tuple[str, re.Match[str]]]:
    """Each check, with the text from the check before it."""
    start = 0
    for check in CHECK.finditer(written):
        yield written[start : check.start()], check
        start = check.end()


def wrong(before: str, check: re.Match[str], names: dict[str, Any]) -> str:
    """How the text before a check differs from what the run gives; nothing where it agrees."""
    expression = " ".join(check["expression"].split())
    value = eval(expression, {"resolve_name": resolve_name, **names})
    said = " ".join(before.split())[-60:]
    if check["kind"] == "holds":
        return "" if value else f"{said}: not so, {expression}"
    written = NUMBER.findall(before.replace("\\,", ""))[-1].replace(",", "")
    _, _, decimals = written.partition(".")
    if float(written) == float(f"{value:.{len(decimals)}f}"):
        return ""
    return f"{said}: the run gives {value}, {expression}"


def run(path: Path) -> dict[str, list[Any]]:
    """Run the cells of code; the figures, and what the text says that is wrong."""
    from matplotlib import pyplot as plt

    figures, disagreements, waiting = [], [], []
    names: dict[str, Any] = {}
    for number, (cell, names) in enumerate(execute(path)):
        for before, check in checks(cell.text if cell.kind == "markdown" else ""):
            try:
                disagreements.append(wrong(before, check, names))
            except NameError:
                waiting.append((before, check))
        for figure in map(plt.figure, plt.get_fignums()):
            figure.canvas.draw()
            pixels = hashlib.sha256(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]
            if not cell.text.startswith(MEASURED):
                figures.append((number, pixels.hexdigest()))
    disagreements += [wrong(before, check, names) for before, check in waiting]
    return {"figures": figures, "wrong": [one for one in disagreements if one]}


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]).resolve())))
