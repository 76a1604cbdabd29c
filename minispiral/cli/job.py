"""A command that several processes run: the first one speaks for all, and all end together."""

import io
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from minispiral import __version__
from minispiral.distributed import world
from minispiral.distributed.launch import launched
from minispiral.errors import UserError


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
        except UserError:  # none can speak to any other, and all have said the same
            return exit_code
        codes = everyone.leave(exit_code)
        if codes is None:
            self._speak()
            everyone.abort(exit_code)
            return exit_code
        failed = [rank for rank, code in enumerate(codes) if code]
        if self.here.rank in failed[:1]:
            self._speak()
        return codes[failed[0]] if failed else 0

    def _speak(self) -> None:
        if sys.__stderr__ is not None:
            sys.__stderr__.write(self.last_words.getvalue())
            sys.__stderr__.flush()


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
