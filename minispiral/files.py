"""Files that are replaced whole or not at all.

A file is written beside its place, flushed to the disk and renamed over the old one, so a reader
sees the old file or the new one, whole, whatever happens in between.
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
    """A file to write bytes to, which takes the place of ``path`` once all of it is on the disk.

    On any failure the file at ``path`` stays as it was. Raises `UserError` when the disk is full
    or the folder cannot be written to.
    """
    part = path.with_name(f".{path.name}.part")  # a fixed name: killed runs leave one at most
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
        f"{path} could not be written ({error.strerror or error}); choose a folder that can be "
        "written to or change its permissions."
    )


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 in place of whatever ``path`` holds, all or nothing."""
    with replacing(path) as file:
        file.write(text.encode())
