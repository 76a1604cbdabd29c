"""Files that are replaced atomically.

A file is written next to its destination, flushed to disk and renamed over the old one. A reader
therefore sees either the old file or the new one, complete, whatever happens in between.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from minispiral.errors import UserError


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file for bytes that takes the place of ``path`` once all of it is on disk.

    On any failure the file at ``path`` stays as it was. Raises `UserError` when the disk is full
    or the folder is not writable.
    """
    part = path.with_name(f".{path.name}.part")  # a fixed name: killed runs leave at most one
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise writing_error(path, error) from error
        raise


def writing_error(path: Path, error: OSError) -> UserError:
    """What to tell the user when ``path`` could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"The disk is full: {path} could not be written (what was saved before is intact); "
            "free some space and run the command again."
        )
    return UserError(
        f"{path} could not be written ({error.strerror or error}); choose a writable folder or "
        "change its permissions."
    )


def write_text(path: Path, text: str) -> None:
    """Atomically write ``text`` to ``path`` as UTF-8."""
    with replacing(path) as file:
        file.write(text.encode())
