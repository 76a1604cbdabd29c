"""``minispiral demo``."""

from pathlib import Path

import click

from minispiral.cli.group import Failure
from minispiral.cli.job import SharedCommand
from minispiral.cli.options import PATH, device_option, precision_option
from minispiral.cli.terminal import announce, say, show


@click.command(cls=SharedCommand)
@click.option(
    "--out",
    type=PATH,
    default="minispiral-demo",
    metavar="DIR",
    help="Folder for photographs, runs and pictures.",
)
@device_option
@precision_option
def demo(out: Path, device: str, precision: str) -> None:
    """Train two small networks and compare them.

    Both start from the same weights and see the same patches. One learns with cross-entropy, the
    other with the pseudo-gradient of F1 (Eq. 11). This takes a few minutes on two cores.

    \b
    Examples: minispiral demo
              minispiral demo --out /tmp/demo
    """
    from minispiral.cli import tables
    from minispiral.cli.progress import TerminalReporter
    from minispiral.training import demo as job
    from minispiral.training.interrupt import Interrupted

    announce(device, precision)
    try:
        with TerminalReporter() as report:
            result = job.demo(out, report, device=device, precision=precision)
    except Interrupted as stopped:
        raise Failure(
            "Stopped; run the command again to start over.", stopped.exit_code
        ) from stopped
    show(tables.comparison(result.scores))
    for what, path in result.pictures.items():
        say(f"{what}: {path}")
