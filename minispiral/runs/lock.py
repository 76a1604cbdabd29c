"""The lock that keeps two processes from training in the same run folder."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from minispiral.errors import UserError
from minispiral.files import writing_error


@contextmanager
def lock_run(run: Path) -> Iterator[None]:
    """Hold the run folder ``run``, created if need be, for this process alone.

    The operating system releases the lock when the process ends, however it ends. Raises
    `UserError` when another process holds it or the folder cannot be created.
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
        except (BlockingIOError, PermissionError):  # held by another: Unix and Windows
            raise UserError(
                f"Another process is training in {run}; wait until it has finished", "out"
            ) from None
        except OSError as error:
            raise UserError(
                f"{run} lies on a disk that cannot lock files ({error.strerror or error})", "out"
            ) from error
        yield


def _lock(file: BinaryIO) -> None:
    """Lock an open file without waiting; OSError if it is locked already."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
