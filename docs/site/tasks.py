"""The tasks of the exercises, cut from the chapters for the package, which has no book in it.

``python docs/site/tasks.py`` writes minispiral/exercises/tasks.json. A test compares them.
"""

import json
import re
from pathlib import Path

from chapter import BOOK, ROOT, parse, shown

FILE = ROOT / "minispiral" / "exercises" / "tasks.json"
_TASK = re.compile(r"^### Exercise (\d+\.\d+).*\n+([\s\S]*?)(?=^#|\Z)", re.MULTILINE)


def tasks() -> dict[str, str]:
    """The Markdown below the heading of each exercise, by its number."""
    found: dict[str, str] = {}
    for chapter in sorted(BOOK.glob("[0-9]*.py")):
        cells = parse(Path(chapter).read_text(encoding="utf-8"))
        text = "\n".join(shown(cell.text) for cell in cells if cell.kind == "markdown")
        found |= {number: task.strip("\n") for number, task in _TASK.findall(text)}
    return found


if __name__ == "__main__":
    FILE.write_text(json.dumps(tasks(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
