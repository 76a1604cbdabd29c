"""The folder of a run: who may write to it, its options and its table of scores.

``config.json``, ``metrics.csv``, ``last.safetensors`` and ``best.safetensors`` live in it, beside
``curves.png`` and ``samples/`` once a run has finished.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from minispiral.errors import UserError
from minispiral.files import write_text, writing_error


@contextmanager
def lock_run(run: Path) -> Iterator[None]:
    """Hold the run folder ``run``, made if need be, for this process alone.

    The system lets go of the lock when the process ends, however it ends. Raises `UserError`
    when another process holds it or the folder cannot be made.
    """
    path = run / ".lock"
    try:
        run.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise writing_error(run, error) from error
    with file:
        try:
            _lock(file)
        except (BlockingIOError, PermissionError):  # taken, as Unix and Windows say it
            raise UserError(
                f"Another process is training in {run}; wait until it has finished or give "
                "another --out folder."
            ) from None
        except OSError as error:
            raise UserError(
                f"{run} lies on a disk that cannot lock files ({error.strerror or error}); give "
                "an --out folder on another disk."
            ) from error
        yield


def _lock(file: BinaryIO) -> None:
    """Lock an open file without waiting; OSError when it is taken."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def resumable(run: Path) -> Path | None:
    """The checkpoint a run goes on from: the last one, or the best where only that was written."""
    for name in ("last.safetensors", "best.safetensors"):
        if (run / name).exists():
            return run / name
    return None


def check_own_files(run: Path) -> None:
    """Raise `UserError` where a new run would replace a file in ``run`` that no run has written."""
    for name, sign in (("config.json", '"patches_per_image"'), ("metrics.csv", "step,epoch,")):
        path = run / name
        if path.exists() and sign not in path.read_text(encoding="utf-8", errors="replace"):
            raise UserError(
                f"{path} would be replaced, but no training run wrote it; give another --out "
                "folder."
            )


def write_config(run: Path, config: Mapping[str, Any]) -> None:
    """Save the options of the run as ``config.json``."""
    write_text(run / "config.json", json.dumps(config, indent=2) + "\n")


def check_unchanged(
    run: Path, old: Mapping[str, Any], new: Mapping[str, Any], may_change: frozenset[str]
) -> None:
    """Raise `UserError` with each option of ``new`` that differs from the run's ``old`` ones."""
    changed = [
        f"--{name.replace('_', '-')} was {_spell(old.get(name))} and is now {_spell(value)}"
        for name, value in new.items()
        if name not in may_change and old.get(name) != value
    ]
    if changed:
        raise UserError(
            f"The run in {run} cannot be resumed with other options: {'; '.join(changed)}; give "
            "the old ones, or train in another --out folder."
        )


def _spell(value: Any) -> str:
    """An option's value as it is typed."""
    if value is None:
        return "not given"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
