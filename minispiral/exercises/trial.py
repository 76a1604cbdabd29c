"""Checks a student's answers in a process of their own, on a copy, with limits.

An endless loop, a crash or a deleted file then hurt nobody but the answer.
"""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import minispiral
from minispiral.errors import UserError

TIMEOUT = 60.0  # seconds for each exercise
LONGEST = 24 * 3600.0  # seconds that one may ask for
STARTING = 60.0  # seconds that Python and NumPy may take to start


@dataclass(frozen=True)
class Verdict:
    """What was found: nothing ``wrong``, or why, in one sentence; ``missing``: no such function."""

    wrong: str | None
    missing: bool = False


def judge(
    path: Path, numbers: Sequence[str], timeout: float = TIMEOUT, quiet: bool = False
) -> Iterator[tuple[str, Verdict]]:
    """The verdict on the answers in the file at ``path`` to each of the exercises ``numbers``.

    ``timeout``: seconds that one of them may take. ``quiet``: what the file prints is not shown.
    Raises `UserError` if the file cannot be read, and for what is no time to wait.
    """
    check_timeout(timeout)
    left = list(numbers)
    while left:
        with _process(path, left, quiet) as lines:
            _next(lines, STARTING)
            begun = _next(lines, timeout)
            if begun is None or begun.get("wrong"):
                said = begun["wrong"] if begun else _gone(lines, timeout, "running the file")
                yield from ((number, Verdict(said)) for number in left)
                return
            while left:
                found = _next(lines, timeout)
                number = left.pop(0)
                if found is None:
                    yield number, Verdict(_gone(lines, timeout, "the check"))
                    break  # the others in a new process
                yield number, Verdict(found["wrong"], found["missing"])


def check_timeout(timeout: float) -> None:
    """Raise `UserError` unless so many seconds can be waited for."""
    if not 0 < timeout <= LONGEST:
        raise UserError(
            f"a timeout of {timeout:g} s was given, expected more than 0 and at most {LONGEST:g}",
            "timeout",
        )


def _next(lines: "queue.Queue[str | None]", seconds: float) -> dict[str, Any] | None:
    """The next line of the judge; None where it has ended or does not come in time."""
    try:
        line = lines.get(timeout=seconds)
    except queue.Empty:
        return None
    if line is None:
        lines.put(None)  # that it has ended, for `_gone`
        return None
    verdict: dict[str, Any] = json.loads(line)
    return verdict


def _gone(lines: "queue.Queue[str | None]", timeout: float, what: str) -> str:
    if lines.empty():
        return f"{what} took longer than {timeout:g} s: look for a loop that never ends"
    return f"{what} ended the Python process"


@contextmanager
def _process(
    path: Path, numbers: Sequence[str], quiet: bool
) -> Iterator["queue.Queue[str | None]"]:
    """The lines of a judge of a copy of the file; the judge and its children end with the block."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            shutil.copy(path, folder)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}.") from error
        paths = [str(Path(minispiral.__file__).parents[1])]
        paths += filter(None, [os.environ.get("PYTHONPATH")])
        process = subprocess.Popen(
            [sys.executable, "-m", "minispiral.exercises.judge", path.name, *numbers],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.PIPE,  # which ends with this process, and the judge with it
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        assert process.stdout is not None
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
        try:
            yield lines
        finally:
            _end(process)


def _read(output: IO[str], lines: "queue.Queue[str | None]") -> None:
    for line in output:
        lines.put(line)
    lines.put(None)


def _end(process: "subprocess.Popen[str]") -> None:
    """End the process and what it started."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    if process.stdin is not None:
        process.stdin.close()
    process.wait()
