"""Files that are replaced atomically.

A file is written next to its destination, flushed to disk and renamed over the old one. A reader
therefore sees either the old file or the new one, complete, whatever happens in between. Of several
writers the last wins.
"""

import contextlib
import errno
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from minispiral.errors import UserError

_MOST_WAITS = 1000  # for other processes that write the same file


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file for bytes that takes the place of ``path`` once all of it is on disk.

    On any failure the file at ``path`` stays as it was. Processes that replace the same file take
    turns. Raises `UserError` when the disk is full or the folder is not writable.
    """
    part = _part(path)
    try:
        with _open_alone(part) as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                _let_rename(file)
                os.replace(part, path)
            except BaseException:
                _let_rename(file)
                with contextlib.suppress(OSError):
                    part.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise writing_error(path, error) from error


@contextmanager
def replacing_list(
    path: Path, head: Mapping[str, Any], name: str
) -> Iterator[Callable[[str], None]]:
    """Write a JSON object: ``head``, and a list called ``name``, to which a function adds.

    Each element is given as JSON in one line, and has a line of its own; none is kept in memory.
    Like `replacing`, which raises the same.
    """
    with replacing(path) as file:
        file.write(f"{json.dumps(head)[:-1]}, {json.dumps(name)}: [".encode())
        before = "\n"

        def add(element: str) -> None:
            nonlocal before
            file.write((before + element).encode())
            before = ",\n"

        yield add
        file.write(b"\n]}\n")


def lock(file: BinaryIO, wait: bool = False) -> None:
    """Lock an open file for this process until it is closed, however the process ends.

    Raises OSError if another process holds it, unless told to ``wait``, and on disks without locks.
    """
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def _open_alone(path: Path) -> BinaryIO:
    """Open an empty file for bytes, once no other process is writing it."""

    def create(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_CREAT, 0o666)

    for _ in range(_MOST_WAITS):
        file = open(path, "r+b", opener=create)  # noqa: SIM115
        with contextlib.suppress(OSError):  # a disk without locks
            lock(file, wait=True)
        found = os.fstat(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(found, os.stat(path)):
                break
        file.close()  # whoever wrote it has renamed it meanwhile
    else:
        raise OSError(errno.EBUSY, "other processes keep writing it")
    if found.st_size:
        file.truncate()
    return file


def _let_rename(file: BinaryIO) -> None:
    """Close the file on Windows, which renames and removes none that is open."""
    if sys.platform == "win32":
        file.close()


def name_length(path: Path) -> int:
    """The bytes of the longest name that `replacing` gives a file, where ``path`` is written.

    Windows counts UTF-16 units instead.
    """
    name = _part(path).name
    return len(name.encode("utf-16-le")) // 2 if os.name == "nt" else len(os.fsencode(name))


def longest_name(folder: Path) -> int:
    """How many bytes a name in ``folder`` may have; the folder need not exist yet."""
    for place in (folder, *folder.parents):
        with contextlib.suppress(OSError, AttributeError):  # Windows has no pathconf
            return os.pathconf(place, "PC_NAME_MAX")
    return 255


def _part(path: Path) -> Path:
    """Where the file is written before it takes its place: killed runs leave at most one."""
    return path.with_name(f".{path.name}.part")


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


def check_place(path: Path, parameter: str) -> None:
    """Raise `UserError` unless a file could lie at ``path``: told before the work that it is of."""
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else "lies in no folder that exists"
        raise UserError(f"{path} {what}, expected the name of a file to write", parameter)


def write_text(path: Path, text: str) -> None:
    """Atomically write ``text`` to ``path`` as UTF-8."""
    with replacing(path) as file:
        file.write(text.encode())


def table_text(name: str) -> str:
    """A name for a table: bytes that are no UTF-8 escaped, and nothing that a spreadsheet would
    take for a formula."""
    text = name.encode("utf-8", "backslashreplace").decode()
    return f"./{text}" if text[:1] in ("=", "+", "-", "@") else text
