"""The lock that keeps two processes from training in the same run folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minispiral.errors import UserError
from minispiral.files import lock, writing_error


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
            lock(file)
        except (BlockingIOError, PermissionError):  # held by another: Unix and Windows
            raise UserError(
                f"Another process is training in {run}; wait until it has finished", "out"
            ) from None
        except OSError as error:
            raise UserError(
                f"{run} lies on a disk that cannot lock files ({error.strerror or error})", "out"
            ) from error
        yield
