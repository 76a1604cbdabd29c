"""Temporary files that the processes of a machine share."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from minispiral.distributed import World
from minispiral.errors import UserError


@contextmanager
def shared_files(machine: World, folder: Path) -> Iterator[list[IO[bytes]]]:
    """An empty file in ``folder`` for each process of ``machine``, open for bytes in all of them.

    Where the system allows it they have no names, so that they vanish with the processes however
    these end. Raises `UserError`, in all processes, if one cannot make or open them.
    """
    with ExitStack() as stack:
        try:
            files = _named(machine, folder) if machine.size > 1 else [_nameless(folder)]
        except OSError as error:
            raise UserError(
                f"Cannot store decoded photographs in {folder}: {error.strerror}"
            ) from error
        yield [stack.enter_context(file) for file in files]


def _nameless(folder: Path) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=folder)


def _named(machine: World, folder: Path) -> list[IO[bytes]]:
    """Files that have names until all processes have opened them, which is before they grow."""
    own: list[str] = []

    def create() -> str:
        file, name = tempfile.mkstemp(prefix=".decoded-", dir=folder)
        os.close(file)
        own.append(name)
        return name

    try:
        names = machine.collect(machine.size, lambda rank: create())
        return machine.together(lambda: [open(name, "r+b", opener=_until_closed) for name in names])
    finally:
        for name in own:
            with contextlib.suppress(OSError):  # Windows removes no file that is open
                os.unlink(name)


def _until_closed(name: str, flags: int) -> int:
    """Open a file so that Windows removes it once no process has it open any more."""
    return os.open(name, flags | getattr(os, "O_TEMPORARY", 0))
