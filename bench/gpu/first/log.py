"""The log: a JSON object on a line for each item, which several processes append to."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

Item = dict[str, Any]
Put = Callable[[Item], None]  # what a stage hands its items to

BEGUN, ENDED = "begun", "ended"  # values of ``event``, in the lines that the runner writes


class Log:
    """Appends items of one stage to a file; each is on disk, or with the system, at once.

    ``at`` says when it was written, in seconds since ``start``.
    """

    def __init__(self, path: Path, stage: str, start: float) -> None:
        self.path, self.stage, self.start = path, stage, start
        self.lock = Lock()

    def __call__(self, item: Item) -> None:
        at = round(time.time() - self.start, 2)
        line = json.dumps({"at": at, "stage": self.stage, **item}, default=str)
        with self.lock, self.path.open("ab+") as file:
            # A process that was killed may have left half a line.
            ends = file.tell() == 0 or _last_byte(file.fileno(), file.tell()) == b"\n"
            file.write(("" if ends else "\n").encode() + line.encode() + b"\n")


def _last_byte(file: int, size: int) -> bytes:
    return os.pread(file, 1, size - 1)


def read(path: Path) -> list[Item]:
    """All items, in the order in which they were written; half a line is none."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [item for item in found if isinstance(item, dict) and "stage" in item]


def latest(items: list[Item]) -> dict[str, list[Item]]:
    """The items of each stage since it was last begun, without the lines of the runner."""
    found: dict[str, list[Item]] = {}
    for item in items:
        if item.get("event") == BEGUN:
            found[item["stage"]] = []
        elif "event" not in item:
            found.setdefault(item["stage"], []).append(item)
    return found


def outcomes(items: list[Item]) -> dict[str, Item]:
    """How each stage ended last: the runner's line."""
    return {item["stage"]: item for item in items if item.get("event") == ENDED}
