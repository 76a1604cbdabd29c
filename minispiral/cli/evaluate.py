"""``minispiral evaluate``."""

from pathlib import Path

import click

from minispiral.cli.job import SharedCommand
from minispiral.cli.options import (
    PATH,
    dataset_options,
    device_option,
    json_option,
    precision_option,
    threshold_option,
    tta_option,
)
from minispiral.cli.terminal import announce, print_json, progress_bar, say, show
from minispiral.detection.metrics import Best


@click.command(cls=SharedCommand)
@click.argument("run", type=PATH)
@click.argument("data", type=PATH)
@threshold_option
@tta_option
@click.option(
    "--tolerance",
    type=click.IntRange(min=0),
    default=0,
    metavar="PX",
    help="Count detections within PX pixels of a crack as correct.",
)
@click.option(
    "--thin",
    is_flag=True,
    help="Thin detections and masks to lines of one pixel first; give a --tolerance with it.",
)
@click.option(
    "--csv",
    "table",
    type=PATH,
    metavar="FILE",
    help="Write the scores of each photograph as a table.",
)
@click.option(
    "--plot",
    "picture",
    type=PATH,
    metavar="FILE",
    help="Draw precision against recall, and F1 against the threshold: .png or .jpg, with the "
    "extra `plots`.",
)
@dataset_options
@device_option
@precision_option
@json_option
def evaluate(
    run: Path,
    data: Path,
    threshold: float | Best,
    tta: bool,
    tolerance: int,
    thin: bool,
    table: Path | None,
    picture: Path | None,
    mask_suffix: str,
    recursive: bool,
    as_stored: bool,
    device: str,
    precision: str,
    as_json: bool,
) -> None:
    """Score the network of RUN on the photographs in DATA.

    Photographs without any crack are counted separately, with their rate of false alarms.

    \b
    AP             average precision, exact over all scores: Kobayashi's paper
    precision,
    recall, F1     at --threshold, averaged over photographs: Kobayashi's paper
    IoU            of the crack, at --threshold, averaged: most papers; not their mIoU, which
                   averages in the background
    best F1        at the best threshold: averaged over photographs it is OIS as papers on
                   cracks have it; pooled, at one threshold for all, it is ODS
    pooled         the pixels of all photographs counted together

    With --tolerance a detection counts within PX pixels of a crack, and a crack pixel within PX of
    a detection; AP and IoU have none. Several detections may count for one crack pixel, where the
    Berkeley benchmark of edges (BSDS) pairs them one to one, which never gives more. --thin thins
    as that benchmark does. docs/how-to/scores.md has the formulas.

    \b
    Examples: minispiral evaluate run concrete
              minispiral evaluate run concrete --threshold best --plot curves.png
              minispiral evaluate run concrete --thin --tolerance 2 --json
    """
    from minispiral.cli import tables
    from minispiral.detection import evaluate as job
    from minispiral.detection.score_files import check_files, draw_curves, write_table
    from minispiral.distributed import world

    check_files(table, picture)
    if thin and not tolerance:
        say("warning: without a --tolerance, thinned lines hardly ever meet to the pixel", err=True)
    announce(device, precision)
    with progress_bar("evaluating") as (progress, message):
        summary = job.evaluate(
            run,
            data,
            threshold=threshold,
            tta=tta,
            tolerance=tolerance,
            thin=thin,
            progress=progress,
            device=device,
            precision=precision,
            mask_suffix=mask_suffix,
            recursive=recursive,
            as_stored=as_stored,
            warn=message,
        )

    def write() -> None:
        if table is not None:
            write_table(table, summary)
        if picture is not None:
            draw_curves(picture, summary)

    if as_json:
        print_json(summary.as_dict())
    else:
        show(tables.scores(summary))
    world().from_first(write)
