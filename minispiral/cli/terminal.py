"""What a command prints: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from minispiral.cli.printable import encodable, escaped

if TYPE_CHECKING:
    from rich.console import RenderableType

TABLE_WIDTH = 120  # columns, where standard output is not a terminal


def announce(device: str, precision: str = "float32") -> None:
    """Print the device that ``auto`` stands for; one asked for by name needs no announcement.

    Print a warning if processes that work together share a GPU.
    """
    from minispiral.distributed import world

    together = world.cache_info().currsize > 0  # else this process may work alone
    if device == "auto" or (device != "cpu" and together):
        from minispiral.device import announcement, choose
        from minispiral.distributed.gpu import doubled

        chosen = choose(device, precision)
        lines = [announcement(chosen)] if device == "auto" else []
        if together and (warning := doubled(world(), chosen.is_gpu)):
            lines.append(warning)
        with suppress(OSError):  # nobody reads standard error
            for line in lines:
                click.echo(line, err=True)


@contextmanager
def progress_bar(
    description: str,
) -> Iterator[tuple[Callable[[float, int], None], Callable[[str], None]]]:
    """Two functions: one shows how many photographs are done, one prints a line above the bar."""
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
    from minispiral.cli.console import PlainConsole

    console = PlainConsole(stderr=err)
    if not console.is_terminal:
        console.width = TABLE_WIDTH
    console.print(table)


def say(text: str, err: bool = False) -> None:
    """Print a line on standard output or, with ``err``, on standard error."""
    stream = sys.stderr if err else sys.stdout
    click.echo(encodable(escaped(text), getattr(stream, "encoding", None)), err=err)


def print_json(value: dict[str, Any]) -> None:
    """Print ``value`` as JSON on standard output."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))
