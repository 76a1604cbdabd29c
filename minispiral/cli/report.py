"""``minispiral report``."""

from pathlib import Path

import click

from minispiral.cli.group import Failure
from minispiral.cli.options import PATH
from minispiral.cli.terminal import say


@click.command()
@click.argument("folder", metavar="DIR", type=PATH)
@click.option(
    "--scale",
    type=float,
    metavar="MM_PER_PIXEL",
    help="Another scale than that of the detection, for all photographs.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="Where the page's slider stands at first; without it, every crack is drawn.",
)
def report(folder: Path, scale: float | None, threshold: float | None) -> None:
    """Make the page of the cracks in DIR anew, which detect wrote, without the network.

    The page is one file, which needs no network: photographs with their cracks, a table of widths
    and lengths, and what they rest on.

    \b
    Examples: minispiral report found
              minispiral report found --scale 0.12 --threshold 0.6
    """
    from minispiral.measurement.scale import Scale
    from minispiral.report.cracks.folder import report_folder

    chosen = None if scale is None else Scale(scale)
    page, missing, moved = report_folder(folder, chosen, threshold)
    for name, why in missing + moved:
        say(f"warning: {name}: {why}", err=True)
    say(f"report: {page} ({page.stat().st_size / 1e6:.1f} MB)")
    if missing:
        raise Failure(f"{len(missing)} photographs are missing on the page.")
