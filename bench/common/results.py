"""Summaries of timings, and the JSON files that keep results."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from minispiral.files import write_text


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """The median and the range."""
    return {
        "seconds": median(seconds),
        "fastest_seconds": min(seconds),
        "slowest_seconds": max(seconds),
    }


def kept(path: Path) -> dict[str, Any]:
    """What a file holds of earlier measurements; empty if there is no file."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def keep(path: Path, found: Mapping[str, Any]) -> None:
    """Update the entries ``found`` of a file and leave its others as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({**kept(path), **found}, indent=1) + "\n")
