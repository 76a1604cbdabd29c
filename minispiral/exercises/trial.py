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
from itertools import chain
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
            try:
                _next(lines, STARTING, "starting Python")
                wrong = _next(lines, timeout, "running the file")["wrong"]
            except _NoVerdict as error:
                wrong = str(error)
            if wrong is not None:
                yield from ((number, Verdict(wrong)) for number in left)
                return
            while left:
                number = left.pop(0)
                try:
                    found = _next(lines, timeout, "the check", number)
                except _NoVerdict as error:
                    yield number, Verdict(str(error))
                    break  # the others in a new process
                yield number, Verdict(found["wrong"], found["missing"])


def check_timeout(timeout: float) -> None:
    """Raise `UserError` unless so many seconds can be waited for."""
    if not 0 < timeout <= LONGEST:
        raise UserError(
            f"a timeout of {timeout:g} s was given, expected more than 0 and at most {LONGEST:g}",
            "timeout",
        )


class _NoVerdict(Exception):
    """The judge does not say what it should. The message says why."""


def _next(
    lines: "queue.Queue[str | None]", seconds: float, what: str, number: str | None = None
) -> dict[str, Any]:
    """The next line of the judge, which is about exercise ``number``, or on none if that is None.

    Raises `_NoVerdict` where it does not come within so many ``seconds``. ``what`` is going on.
    """
    try:
        line = lines.get(timeout=seconds)
    except queue.Empty:
        raise _NoVerdict(
            f"{what} took longer than {seconds:g} s: look for a loop that never ends"
        ) from None
    if line is None:
        raise _NoVerdict(f"{what} ended the Python process")
    try:
        verdict = json.loads(line)
    except ValueError:
        verdict = None
    if not isinstance(verdict, dict) or verdict.get("number") != number:
        raise _NoVerdict(f"{what} wrote to a file that it had not opened")
    return verdict


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
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join(paths)}
            | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder),
            stdin=subprocess.PIPE,  # which ends with this process, and the judge with it
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        assert process.stdout is not None
        lines: queue.Queue[str | None] = queue.Queue(maxsize=100)
        threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
        try:
            yield lines
        finally:
            _end(process)


def _read(output: IO[str], lines: "queue.Queue[str | None]") -> None:
    """Pass the lines on, None after the last one; of a flood, which is no judge's, the first."""
    for line in chain(iter(lambda: output.readline(2**16), ""), [None]):
        with suppress(queue.Full):
            lines.put_nowait(line)


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
