"""How the command talks: errors in one line, results to standard output, progress beside."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from minispiral.errors import UserError

if TYPE_CHECKING:
    from rich.console import RenderableType

TABLE_WIDTH = 120  # columns, where standard output is no terminal


class Failure(Exception):
    """Ends the command with one line on standard error and an exit code."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Commands(click.Group):
    """Commands, listed in the order of their use, that tell in one line what a user can mend."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Failure as error:
            failure = error
        except UserError as error:
            failure = Failure(str(error))
        except MemoryError:
            failure = Failure("The memory is full; choose a smaller --batch or --width.")
        except KeyboardInterrupt:
            failure = Failure("Stopped; run the command again to start over.", 130)
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of the output has gone: click's affair
                raise
            place = f"{error.filename}: " if error.filename else ""
            failure = Failure(f"{place}{error.strerror or error}.")
        click.echo(f"minispiral: {failure}".replace("\n", " "), err=True)
        ctx.exit(failure.exit_code)


@contextmanager
def progress_bar(
    description: str,
) -> Iterator[tuple[Callable[[float, int], None], Callable[[str], None]]]:
    """A function that shows how many photographs are done, and one that prints a line."""
    from minispiral.cli.progress import TerminalReporter

    began = time.monotonic()
    with TerminalReporter() as report:

        def progress(done: float, total: int) -> None:
            seconds = (time.monotonic() - began) / done if done else 0.0
            left = timedelta(seconds=round(seconds * (total - done)))
            note = f"{done / total:.0%}  {seconds:.1f} s/photograph  {left} left"
            report.show(description, int(done), total, note)

        yield progress, report.message


def show(table: RenderableType, err: bool = False) -> None:
    """Print a table on standard output or, with ``err``, on standard error."""
    from rich.console import Console

    console = Console(highlight=False, stderr=err)
    if not console.is_terminal:
        console.width = TABLE_WIDTH
    console.print(table)


@contextmanager
def show_profile() -> Iterator[None]:
    """Profile what is done inside and print where the time went on standard error, come what may.

    After Ctrl-C too; a run that ended before its first step has nothing to show.
    """
    from minispiral.profiling import kinds_table, layers_table, profile

    try:
        with profile() as p:
            yield
    finally:
        if any(layer for layer, _ in p.spent):
            show(layers_table(p), err=True)
            show(kinds_table(p), err=True)


def print_json(value: dict[str, Any]) -> None:
    """Print ``value`` as the one JSON object on standard output."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))
