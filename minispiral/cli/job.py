"""A command that several processes run: the first one speaks for all, and all end together."""

import io
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from minispiral import __version__
from minispiral.distributed import world
from minispiral.distributed.launch import end_job, launched
from minispiral.errors import UserError

GRACE = 2.0  # seconds that a process which failed gives the others to fail too


class SharedCommand(click.Command):
    """A command whose work several processes share; any other is left to the first of them."""

    def invoke(self, ctx: click.Context) -> Any:
        _compare(ctx)
        return super().invoke(ctx)


class Job:
    """The processes that run a command, as one of them sees them.

    Only the first one prints. A process that fails waits a moment for the others. If they fail too,
    or have finished, all end with its exit code; otherwise it ends them.
    """

    def __init__(self) -> None:
        self.here = launched()
        self.shared = self.here.size > 1
        self.last_words = io.StringIO()
        # Not all at once: the first one that gives up ends the others before they speak too.
        self.grace = GRACE * (1 + self.here.rank / self.here.size)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Run a command in here."""
        if not self.shared:
            yield
            return
        if self.here.rank:
            sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        exit_code = 0
        try:
            yield
        except SystemExit as end:
            exit_code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:  # a bug, of which the interpreter would tell too late
            traceback.print_exc()
            exit_code = 1
        raise SystemExit(self._leave(exit_code))

    def choose(self, command: click.Command | None) -> bool:
        """Whether this process takes part in a command."""
        self.shared &= command is None or isinstance(command, SharedCommand)
        return self.shared or self.here.rank == 0

    def failed(self) -> None:
        """Keep what is said from now on, for this may be the only process that failed."""
        if self.here.rank:
            sys.stderr = self.last_words

    def _leave(self, exit_code: int) -> int:
        """Meet the other processes, or end them; the exit code of all."""
        if not self.shared or not (exit_code or world.cache_info().currsize):
            return exit_code
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # sent to all: the others have it too
        try:
            everyone = world()
        except UserError:
            return self._leave_alone(exit_code)
        codes = everyone.leave(exit_code, self.grace if exit_code else None)
        if codes is None:
            self._speak()
            everyone.abort(exit_code)
            return exit_code
        failed = [rank for rank, code in enumerate(codes) if code]
        if self.here.rank in failed[:1]:
            self._speak()
        return codes[failed[0]] if failed else 0

    def _leave_alone(self, exit_code: int) -> int:
        """End a process that cannot speak to the others, who probably have the same to say."""
        if self.here.rank and self.here.launcher == "srun":  # which lets each of them end alone
            return exit_code
        if self.here.rank:
            time.sleep(self.grace)
            self._speak()
        end_job(exit_code)
        return exit_code

    def _speak(self) -> None:
        said = self.last_words.getvalue()
        if said and sys.__stderr__ is not None:
            where = f"In process {self.here.rank} of {self.here.size}, on {platform.node()}:"
            print(where, said, sep="\n", end="", file=sys.__stderr__, flush=True)


def _compare(ctx: click.Context) -> None:
    """Raise `UserError` unless all processes were given the same command."""
    labels = {"version": "the version of minispiral", "command": "the command"}
    for param in ctx.command.params:
        option = isinstance(param, click.Option)
        labels[str(param.name)] = param.opts[0] if option else param.human_readable_name
    given = {"version": __version__, "command": ctx.command.name, **ctx.params}
    first, *others = world().exchange(given)
    for rank, other in enumerate(others, 1):
        for name in (name for name in first if name not in other or other[name] != first[name]):
            raise UserError(
                f"{labels.get(name, name)} is {_shown(first[name])} in process 0, but "
                f"{_shown(other.get(name))} in process {rank}; start all processes alike"
            )


def _shown(value: Any) -> str:
    return "not given" if value is None else str(value)
