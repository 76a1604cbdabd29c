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
)
from minispiral.cli.terminal import announce, print_json, progress_bar, show


@click.command(cls=SharedCommand)
@click.argument("run", type=PATH)
@click.argument("data", type=PATH)
@threshold_option
@click.option(
    "--tolerance",
    type=click.IntRange(min=0),
    default=0,
    metavar="PX",
    help="Count detections within PX pixels of a crack as correct.",
)
@dataset_options
@device_option
@precision_option
@json_option
def evaluate(
    run: Path,
    data: Path,
    threshold: float,
    tolerance: int,
    mask_suffix: str,
    recursive: bool,
    as_stored: bool,
    device: str,
    precision: str,
    as_json: bool,
) -> None:
    """Score the network of RUN on the photographs in DATA.

    Prints average precision, precision, recall and F1 of each photograph, and their averages.
    Photographs without any crack are counted separately, with their rate of false alarms.

    \b
    Examples: minispiral evaluate run concrete
              minispiral evaluate run concrete --threshold 0.3 --tolerance 2 --json
    """
    from minispiral.cli import tables
    from minispiral.detection import evaluate as job

    announce(device, precision)
    with progress_bar("evaluating") as (progress, message):
        summary = job.evaluate(
            run,
            data,
            threshold=threshold,
            tolerance=tolerance,
            progress=progress,
            device=device,
            precision=precision,
            mask_suffix=mask_suffix,
            recursive=recursive,
            as_stored=as_stored,
            warn=message,
        )
    if as_json:
        print_json(summary.as_dict())
    else:
        show(tables.scores(summary))
