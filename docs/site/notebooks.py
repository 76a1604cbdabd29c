"""The chapters as notebooks that open anywhere: their first cell of code installs minispiral.

    python docs/site/notebooks.py FOLDER

They are not run. What draws a figure is a cell of its own, which JupyterLab shows folded. Pictures
are in the notebooks themselves. Links to other files of the repository lead to its address: that
given by ``--repository``, or that of pyproject.toml; without one, the text names the file.
"""

import argparse
import base64
import json
import re
import tomllib
from html import escape
from pathlib import Path
from typing import Any

from chapter import BOOK, CODE, ROOT, parse, shown, split

_LINK = re.compile(
    r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)"
)


def repository() -> str | None:
    """The repository's address, if pyproject.toml has one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    address: str | None = project.get("urls", {}).get("Repository")
    return address


def install(address: str | None) -> str:
    """The cell that installs minispiral, from its repository if that has an address."""
    source = f"minispiral[plots] @ git+{address}" if address else "minispiral[plots]"
    return f'%pip install --quiet "{source}"'


def portable(text: str, chapter: Path, address: str | None) -> str:
    """Markdown whose pictures are in it, and whose links lead to other notebooks or addresses."""

    def replace(link: re.Match[str]) -> str:
        path = (chapter.parent / link["target"]).resolve()
        if ":" in link["target"]:
            return link[0]
        if link["picture"]:
            # As HTML: not every program takes an SVG from Markdown's own form.
            data = base64.b64encode(path.read_bytes()).decode("ascii")
            said = escape(" ".join(link["text"].split()))
            return f'<img alt="{said}" src="data:image/svg+xml;base64,{data}">'
        if path.parent == BOOK and path.suffix == ".py":
            return f"[{link['text']}]({path.stem}.ipynb{link['anchor'] or ''})"
        name = path.relative_to(ROOT).as_posix()
        if address:
            return f"[{link['text']}]({address}/blob/HEAD/{name}{link['anchor'] or ''})"
        return f"{link['text']} (`{name}`)"

    parts = CODE.split(text)
    parts[::2] = [_LINK.sub(replace, part) for part in parts[::2]]
    return "".join(parts)


def notebook(chapter: Path, address: str | None) -> dict[str, Any]:
    """A chapter in the format of Jupyter, version 4.5, without results."""
    cells: list[dict[str, Any]] = []

    def add(kind: str, source: str, **metadata: Any) -> None:
        cell = {"cell_type": kind, "id": f"cell-{len(cells)}", "metadata": metadata}
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        cells.append(cell | {"source": source.splitlines(keepends=True)})

    for cell in parse(chapter.read_text(encoding="utf-8")):
        if cell.kind == "markdown":
            add("markdown", portable(shown(cell.text), chapter, address))
            if len(cells) == 1:  # below the title
                add("code", install(address))
            continue
        computing, drawing = split(cell.text)
        if computing:
            add("code", computing)
        if drawing:
            add("code", drawing, tags=["hide-input"], jupyter={"source_hidden": True})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def written(chapter: Path, address: str | None) -> str:
    """The notebook as the text of its file."""
    return json.dumps(notebook(chapter, address), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where to write them; made if it is not there")
    parser.add_argument("--repository", metavar="ADDRESS", default=repository())
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    for chapter in sorted(BOOK.glob("[0-9]*.py")):
        text = written(chapter, asked.repository)
        (asked.folder / f"{chapter.stem}.ipynb").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
