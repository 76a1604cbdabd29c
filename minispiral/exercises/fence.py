"""Keeps a student's code to its own folder: a fence against accidents, and none against malice.

Python tells an audit hook what it is about to do: open a file, remove one, start a process. The
hook refuses, with the `PermissionError` of a file that is write-protected, what an answer has no
reason to do.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import minispiral

SOLUTIONS = Path(minispiral.__file__).resolve().parents[1] / "docs" / "book" / "solutions"
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
_PROCESSES = {
    *("subprocess.Popen", "pty.spawn", "os.fork", "os.forkpty", "os.exec", "os.posix_spawn"),
    *("os.spawn", "os.system", "os.startfile", "os.kill", "os.killpg"),
}
_CHANGES = {  # by event, how many of its first arguments are paths of what changes
    **dict.fromkeys(("os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree"), 1),
    **dict.fromkeys(("os.chmod", "os.chown", "os.utime"), 1),
    **dict.fromkeys(("os.rename", "os.link", "os.symlink"), 2),
}


def keep_to(folder: Path) -> None:
    """From now on, refuse this process to write outside ``folder``, and to start or end others.

    The solutions of the book, where they lie beside the package, are not read either.
    """
    own = [os.path.realpath(folder), os.path.realpath("/dev")]
    solutions = [os.path.realpath(SOLUTIONS)]

    def hook(event: str, args: Sequence[Any]) -> None:
        if event in _PROCESSES:
            raise PermissionError("an answer may neither start processes nor end others")
        if event == "open":
            path, _, flags = args
            if isinstance(path, int):  # open already
                return
            if _within(path, solutions):
                raise PermissionError("the solutions of the book are not for answers to read")
            changed = [path] if flags & _WRITES else []
        else:
            changed = [path for path in args[: _CHANGES.get(event, 0)] if not isinstance(path, int)]
        for path in changed:
            if not _within(path, own):
                raise PermissionError(f"an answer may change files in its own folder, not {path}")

    sys.addaudithook(hook)


def _within(path: Any, folders: Sequence[str]) -> bool:
    real = os.path.realpath(os.fsdecode(path))
    return any(real == folder or real.startswith(folder + os.sep) for folder in folders)
