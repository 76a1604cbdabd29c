"""The folder of a run.

It holds ``config.json``, ``metrics.csv``, ``last.safetensors`` and ``best.safetensors``, and once
the run has finished ``curves.png`` and ``samples/``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minispiral.errors import UserError
from minispiral.files import write_text


class NotResumable(UserError):
    """What was asked for is another run than that in the folder, whose weights it can start from.

    So it is for photographs and options that may not change, unless they shape the network.
    """


def checkpoint_to_resume(run: Path) -> Path | None:
    """The last checkpoint of a run, or the best one if only that was written; None without any."""
    for name in ("last.safetensors", "best.safetensors"):
        if (run / name).exists():
            return run / name
    return None


def check_own_files(run: Path) -> None:
    """Raise `UserError` if a new run would replace a file in ``run`` that no run has written."""
    for name, sign in (("config.json", '"patches_per_image"'), ("metrics.csv", "step,epoch,")):
        path = run / name
        if path.exists() and sign not in path.read_text(encoding="utf-8", errors="replace"):
            raise UserError(f"{path} would be replaced, but no training run wrote it", "out")


def write_config(run: Path, config: Mapping[str, Any]) -> None:
    """Save the options of the run as ``config.json``."""
    write_text(run / "config.json", json.dumps(config, indent=2) + "\n")


def read_config(run: Path) -> dict[str, Any]:
    """The options that ``config.json`` holds; none if it is missing, damaged or of another program.

    The checkpoints hold them too.
    """
    try:
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) and "patches_per_image" in config else {}


def check_unchanged(
    run: Path,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    may_change: frozenset[str] = frozenset(),
    shaping: frozenset[str] = frozenset(),
) -> None:
    """Raise `UserError`, naming every entry of ``new`` that differs from the run's ``old`` one.

    Entries named in ``may_change`` may differ. It is `NotResumable` unless one of ``shaping``
    differs, on which the shapes of the weights depend.
    """
    changed = [
        name for name, value in new.items() if name not in may_change and old.get(name) != value
    ]
    if changed:
        changes = ", ".join(
            f"{name} was {_spell(old.get(name))} and is now {_spell(new[name])}" for name in changed
        )
        said = (
            f"The run in {run} cannot be resumed with other options: {changes}; give the old ones"
        )
        raise UserError(said, "out") if shaping.intersection(changed) else NotResumable(said)


def _spell(value: Any) -> str:
    """The value of an option as a user types it."""
    if value is None:
        return "not given"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
