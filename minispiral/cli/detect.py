"""``minispiral detect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minispiral.cli.group import Failure
from minispiral.cli.job import SharedCommand
from minispiral.cli.measure_options import measure_options, wishes_of
from minispiral.cli.options import (
    PATH,
    as_stored_option,
    device_option,
    json_option,
    precision_option,
    threshold_option,
    tta_option,
)
from minispiral.cli.terminal import announce, print_json, progress_bar, say
from minispiral.detection.metrics import Best
from minispiral.errors import UserError

if TYPE_CHECKING:
    from minispiral.cli.measuring import Measuring
    from minispiral.detection.detect import Detection


@click.command(cls=SharedCommand)
@click.argument("run", type=PATH)
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...")
@click.option("--out", type=PATH, required=True, metavar="DIR", help="Folder for the results.")
@threshold_option
@tta_option
@click.option(
    "--recursive", is_flag=True, help="Search subfolders too; the results lie in the same ones."
)
@as_stored_option
@device_option
@precision_option
@measure_options
@json_option
def detect(
    run: Path,
    photos: tuple[str, ...],
    out: Path,
    threshold: float | Best,
    tta: bool,
    recursive: bool,
    as_stored: bool,
    device: str,
    precision: str,
    as_json: bool,
    measure: bool,
    **wished: Any,
) -> None:
    """Find cracks in photographs of any size with the network of RUN.

    PHOTO is a file, a folder or a pattern such as '*.jpg'. For each photograph NAME, DIR receives
    NAME.probability.png, NAME.mask.png and NAME.overlay.jpg, all of the photograph's size.
    Photographs of the same name in different folders get theirs in subfolders of DIR.

    With the extra `measure`, cracks are measured too: DIR receives cracks.csv and totals.csv (a
    row a crack, a row a photograph), cracks.geojson, cracks.json (all there is) and report.html, a
    page to hand on. In millimetres where the scale is known, otherwise in pixels.

    \b
    Examples: minispiral detect run bridge.jpg --out found --scale 0.12
              minispiral detect run photos 'more/*.jpg' --out found --threshold best
              minispiral detect run DCIM --recursive --out found --scales scales.csv
    """
    from minispiral.detection import detect as job
    from minispiral.detection.threshold import VALIDATION, choose_threshold, doubt_about
    from minispiral.distributed import world

    number, source = world().from_first(lambda: choose_threshold(run, threshold))
    measuring = _measuring(run, out, number, as_stored, tta, measure, wished)
    announce(device, precision)
    if source == VALIDATION:
        say(f"threshold: {number:.9g}, the best of the validation photographs of {run}", err=True)
    if doubt := doubt_about(source, tta):
        say(f"warning: {doubt}", err=True)
    with progress_bar("detecting") as (progress, message):

        def report(result: Detection) -> None:
            message(
                f"{result.photo}: {result.crack_pixels} crack pixels "
                f"({result.crack_share:.3%}), {_told(result)}{result.seconds:.1f} s"
                if result.error is None
                else f"minispiral: {result.error}"
            )
            if result.unmeasured is not None:
                message(f"minispiral: {result.photo} was not measured: {result.unmeasured}")

        results = job.detect(
            run,
            photos,
            out,
            number,
            report,
            progress,
            device,
            precision,
            recursive=recursive,
            as_stored=as_stored,
            measuring=None if measuring is None else measuring.begin,
            tta=tta,
        )
    if measuring is not None:
        with measuring:
            measuring.finish(world(), results)
    elif (out / "cracks.json").exists():
        say(f"the tables and the page in {out} are those of an earlier detection", err=True)
    unread = sum(result.error is not None for result in results)
    if as_json:
        photographs = [result.as_dict() for result in results]
        made = {"threshold": number, "threshold_from": source, "tta": tta}
        print_json(made | {"photos": photographs})
    else:
        say(f"results for {len(results) - unread} photographs: {out}")
    if unread:
        raise Failure(f"{unread} of {len(results)} photographs have no result.")
    if unmeasured := sum(result.unmeasured is not None for result in results):
        raise Failure(f"{unmeasured} of {len(results)} photographs were not measured.")


def _measuring(
    run: Path,
    out: Path,
    threshold: float,
    as_stored: bool,
    tta: bool,
    wanted: bool,
    wished: dict[str, Any],
) -> Measuring | None:
    """What measures the cracks, unless they are not ``wanted`` or an extra is missing."""
    wishes = wishes_of(wanted, wished)
    if wishes is None:
        return None
    from minispiral.cli.measuring import Measuring
    from minispiral.measurement.pipeline import require_scipy

    try:
        require_scipy()
    except UserError as error:
        say(f"cracks are detected, but not measured: {error}", err=True)
        return None
    return Measuring(run, out, threshold, as_stored, tta, wishes)


def _told(result: Detection) -> str:
    """How many cracks were measured, and how long they are together."""
    if result.cracks is None:
        return ""
    lines = len(result.cracks)
    if not lines:
        return "no crack of length, "
    length = sum(crack["length"] for crack in result.cracks)
    return f"{lines} line{'s' * (lines != 1)} of {length:.0f} {result.cracks[0]['unit']}, "
