"""The process in which a student's file runs.

``python -m minispiral.exercises.judge FILE N.M ...`` runs FILE once, checks the answers to the
exercises named and prints a line of JSON for each: its number and what is wrong, null for nothing.
Two lines before these say that Python has started and that the file has been run. What the
student's code prints goes to standard error. It may use less memory than the machine has, and
change no files but its own (`fence`). That is no fence against malice: the code runs with the
rights of whoever started it.
"""

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from minispiral.errors import UserError
from minispiral.exercises import Wrong
from minispiral.exercises.catalogue import check_names, find, load
from minispiral.exercises.fence import keep_to

MEMORY = 8 * 2**30  # bytes that the process may address
FILE = 64 * 2**20  # bytes of a file that it may write


def limit() -> None:
    """Less memory and smaller files than the machine has, where the system knows such limits.

    A crash leaves no image of the memory.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = (resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, FILE), (resource.RLIMIT_CORE, 0)
    for kind, most in limits:
        _, hard = resource.getrlimit(kind)
        within = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (within, hard))


def end_with_parent() -> None:
    """End this process when its standard input ends: whoever waits for the verdict is gone.

    The student's code reads an empty standard input.
    """
    parent = os.dup(0)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)

    def wait() -> None:
        os.read(parent, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main(path: Path, numbers: list[str]) -> None:
    """Judge the answers in the file at ``path``."""
    limit()
    end_with_parent()
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(**verdict: Any) -> None:
        print(json.dumps(verdict), file=lines, flush=True)

    say(started=True)
    keep_to(Path.cwd())
    try:
        names = load(path)
    except (UserError, MemoryError) as error:
        say(wrong=str(error) or "the file takes more memory than it may")
        return
    say(wrong=None)
    for number in numbers:
        wrong, missing = None, False
        try:
            check_names(find(number), names, path)
        except Wrong as error:
            wrong = str(error)
        except UserError as error:
            wrong, missing = str(error), True
        except MemoryError:
            wrong = "it takes more memory than it may"
        say(number=number, wrong=wrong, missing=missing)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
