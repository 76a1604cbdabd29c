"""What was measured, in numbers and in files."""

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
    """What earlier measurements left in a file; nothing where there is none."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def keep(path: Path, found: Mapping[str, Any]) -> None:
    """Write ``found`` to a file; of what it held, other entries stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({**kept(path), **found}, indent=1) + "\n")
