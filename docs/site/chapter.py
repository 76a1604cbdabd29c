"""Run a chapter of the book and keep what each of its cells printed and drew.

A chapter is a Python script in the percent format: ``# %% [markdown]`` begins a cell of text,
``# %%`` one of code. Comments of HTML in the text, ``<!-- = EXPRESSION -->`` behind a number and
``<!-- holds EXPRESSION -->`` behind anything else, are checks for tests/book/cells.py, and are
not shown. From the command line, `python docs/site/chapter.py CHAPTER.py FOLDER` runs
one in this process and leaves ``cells.json`` and the pictures in the folder; the site calls that
for each chapter, so that none finds what another left behind.
"""

import contextlib
import hashlib
import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

log = logging.getLogger("mkdocs.plugins.minispiral")
ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "docs" / "book"
CACHE = ROOT / ".cache" / "book"
CHECK = re.compile(r"\s*<!--\s+(?P<kind>=|holds)\s+(?P<expression>.+?)\s+-->", re.DOTALL)
CODE = re.compile(r"(^ *```.*?^ *```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)  # in Markdown
_MARKER = re.compile(r"^# %%(.*)$", re.MULTILINE)
_FIGURE = re.compile(r"^[^\s#].*\bplt\.(?:subplots|figure)\(", re.MULTILINE)


@dataclass
class Cell:
    """``text`` is Markdown or code; ``line`` is where it begins in the script, from 1."""

    kind: str
    text: str
    line: int
    printed: str = ""
    pictures: list[str] = field(default_factory=list)


def parse(script: str) -> list[Cell]:
    """The cells of a script in the percent format."""
    cells = []
    markers = list(_MARKER.finditer(script))
    ends = [marker.start() for marker in markers[1:]] + [len(script)]
    for marker, end in zip(markers, ends, strict=True):
        body = script[marker.end() : end]
        first = script.count("\n", 0, marker.end()) + 1 + len(body) - len(body.lstrip("\n"))
        if "[markdown]" in marker[1]:
            lines = [line.removeprefix("#").removeprefix(" ") for line in body.split("\n")]
            cells.append(Cell("markdown", "\n".join(lines).strip("\n"), first))
        else:
            cells.append(Cell("code", body.strip("\n"), first))
    return cells


def shown(text: str) -> str:
    """A cell's text as it is read: without the checks of what it says."""
    return CHECK.sub("", text)


def split(code: str) -> tuple[str, str]:
    """What a cell of code computes, and what draws: all from the line on that makes a figure."""
    figure = _FIGURE.search(code)
    start = figure.start() if figure else len(code)
    return code[:start].removeprefix("# measured\n").rstrip("\n"), code[start:]


def execute(chapter: Path) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Run the cells of code one after the other in this process.

    After each comes the cell, with what it printed, and all names defined so far; the figures that
    it drew are open until the next. Errors are those of the chapter's code.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    names: dict[str, Any] = {"__name__": "__main__", "__file__": str(chapter)}
    for cell in parse(chapter.read_text(encoding="utf-8")):
        if cell.kind == "code":
            above = "\n" * (cell.line - 1)  # so that a traceback names the line of the script
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(above + cell.text, str(chapter), "exec"), names)
            cell.printed = printed.getvalue()
        yield cell, names
        plt.close("all")


def run(chapter: Path, folder: Path) -> None:
    """Run a chapter and leave its cells and pictures in a folder.

    The figures that a cell leaves open become pictures, animations moving ones.
    """
    from matplotlib import pyplot as plt
    from matplotlib.animation import FuncAnimation

    folder.mkdir(parents=True, exist_ok=True)
    cells = []
    saved: set[int] = set()
    for cell, names in execute(chapter):
        cells.append(asdict(cell))
        moving = {
            value._fig: value
            for value in names.values()
            if isinstance(value, FuncAnimation) and id(value) not in saved
        }
        saved |= {id(value) for value in moving.values()}
        for number in plt.get_fignums():
            fig = plt.figure(number)
            name = f"{chapter.stem}-{cell.line}-{number}"
            if fig in moving:
                moving[fig].save(folder / f"{name}.gif", writer="pillow", dpi=110)
                cells[-1]["pictures"].append(f"{name}.gif")
            else:
                fig.savefig(folder / f"{name}.png", dpi=160, bbox_inches="tight")
                cells[-1]["pictures"].append(f"{name}.png")
    (folder / "cells.json").write_text(json.dumps(cells), encoding="utf-8")


def cells_of(chapter: Path) -> tuple[list[Cell], Path]:
    """The cells of a chapter that was run, and the folder of its pictures.

    It is run again only where its text or the library has changed since. Raises RuntimeError with
    the end of the traceback where its code fails.
    """
    sources = [chapter, *sorted((ROOT / "minispiral").rglob("*.py"))]
    sources += sorted((ROOT / "kernels").rglob("*.*"))
    digest = hashlib.sha256()
    for path in sources:
        if not {"__pycache__", "exercises"} & set(path.parts):  # no chapter uses the checks
            digest.update(path.read_bytes())
    name = "-".join(chapter.relative_to(BOOK).with_suffix("").parts)
    folder = CACHE / f"{name}-{digest.hexdigest()[:16]}"
    if not (folder / "cells.json").exists():
        for outdated in CACHE.glob(f"{name}-*"):
            shutil.rmtree(outdated)
        log.info(f"running {chapter.relative_to(ROOT)}")
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, __file__, str(chapter), str(folder)]
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
        if done.returncode:
            raise RuntimeError(f"{chapter.name} fails:\n{done.stderr[-2000:]}")
    cells = json.loads((folder / "cells.json").read_text(encoding="utf-8"))
    return [Cell(**cell) for cell in cells], folder


if __name__ == "__main__":
    run(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
