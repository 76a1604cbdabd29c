"""``minispiral detect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from minispiral.cli.group import Failure
from minispiral.cli.job import SharedCommand
from minispiral.cli.options import (
    PATH,
    as_stored_option,
    device_option,
    json_option,
    precision_option,
    threshold_option,
)
from minispiral.cli.terminal import announce, print_json, progress_bar, say

if TYPE_CHECKING:
    from minispiral.detection.detect import Detection


@click.command(cls=SharedCommand)
@click.argument("run", type=PATH)
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...")
@click.option("--out", type=PATH, required=True, metavar="DIR", help="Folder for the results.")
@threshold_option
@click.option(
    "--recursive", is_flag=True, help="Search subfolders too; the results lie in the same ones."
)
@as_stored_option
@device_option
@precision_option
@json_option
def detect(
    run: Path,
    photos: tuple[str, ...],
    out: Path,
    threshold: float,
    recursive: bool,
    as_stored: bool,
    device: str,
    precision: str,
    as_json: bool,
) -> None:
    """Find cracks in photographs of any size with the network of RUN.

    PHOTO is a file, a folder or a pattern such as '*.jpg'. For each photograph NAME, DIR receives
    NAME.probability.png, NAME.mask.png and NAME.overlay.jpg, all of the photograph's size.
    Photographs of the same name in different folders get theirs in subfolders of DIR.

    \b
    Examples: minispiral detect run bridge.jpg --out found
              minispiral detect run photos 'more/*.jpg' --out found --threshold 0.3
              minispiral detect run DCIM --recursive --out found
    """
    from minispiral.detection import detect as job

    announce(device, precision)
    with progress_bar("detecting") as (progress, message):

        def report(result: Detection) -> None:
            message(
                f"{result.photo}: {result.crack_pixels} crack pixels "
                f"({result.crack_share:.3%}), {result.seconds:.1f} s"
                if result.error is None
                else f"minispiral: {result.error}"
            )

        results = job.detect(
            run,
            photos,
            out,
            threshold,
            report,
            progress,
            device,
            precision,
            recursive=recursive,
            as_stored=as_stored,
        )
    unread = sum(result.error is not None for result in results)
    if as_json:
        print_json({"threshold": threshold, "photos": [result.as_dict() for result in results]})
    else:
        say(f"results for {len(results) - unread} photographs: {out}")
    if unread:
        raise Failure(f"{unread} of {len(results)} photographs have no result.")
