"""``minispiral labels``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from minispiral.cli.group import Failure, with_advice
from minispiral.cli.options import PATH, as_stored_option, json_option
from minispiral.cli.terminal import print_json, progress_bar, say

if TYPE_CHECKING:
    from minispiral.data.labels.outcome import Drawn
    from minispiral.errors import UserError


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=PATH)
@click.option("--out", type=PATH, required=True, metavar="DIR", help="Folder for the masks.")
@click.option(
    "--images",
    type=PATH,
    metavar="DIR",
    help="Folder of the photographs; without it, images/ beside --out, if there is one.",
)
@click.option(
    "--class",
    "classes",
    multiple=True,
    metavar="NAME",
    help="A class that is crack; may be given several times. Needless where there is only one.",
)
@click.option(
    "--line-width", type=float, default=3.0, metavar="PX", help="Width that lines are drawn with."
)
@click.option(
    "--empty", is_flag=True, help="Write an empty mask for each photograph without labels."
)
@click.option("--overwrite", is_flag=True, help="Replace masks that are there already.")
@click.option("--recursive", is_flag=True, help="Search the subfolders of --images too.")
@as_stored_option
@json_option
def labels(
    files: tuple[Path, ...],
    out: Path,
    images: Path | None,
    classes: tuple[str, ...],
    line_width: float,
    empty: bool,
    overwrite: bool,
    recursive: bool,
    as_stored: bool,
    as_json: bool,
) -> None:
    """Draw masks from labels of labelme, COCO, CVAT, YOLO or GeoJSON.

    FILE is a file of labels or a folder of them; its content tells the format. Polygons are
    filled, lines are drawn, stored masks are taken; boxes, circles and points are not. What is
    left out is counted. Masks are called as the photographs: 0001.png for 0001.jpg.

    \b
    Examples: minispiral labels labelme/*.json --out data/masks
              minispiral labels instances.json --out data/masks --class crack --class hairline
              minispiral labels annotations.xml --out data/masks --images photos --empty
    """
    from minispiral.data.labels.convert import draw_masks

    done = of = 0
    try:
        with progress_bar("drawing masks") as (progress, message):

            def count(number: int, total: int) -> None:
                nonlocal done, of
                done, of = number, total
                progress(number, total)

            drawn = draw_masks(
                files,
                out,
                images,
                classes,
                line_width,
                empty,
                overwrite,
                recursive,
                as_stored,
                lambda error: message(f"minispiral: {_told(error)}"),
                count,
            )
    except KeyboardInterrupt as stopped:
        advice = "; run the command again to start over."
        if done:
            advice = f"; {done} of {of} masks are written, add --overwrite to draw them anew."
        raise Failure(f"Stopped{advice}", 130) from stopped
    for note in drawn.notes:
        say(note, err=True)
    _say_left_out(drawn, empty)
    if as_json:
        print_json(drawn.as_dict())
    else:
        say(f"{_number(len(drawn.masks), 'mask')}{drawn.summary()}: {out}")
    if drawn.failures:
        raise Failure(f"{drawn.failures}; nothing was drawn of what failed.")


def _told(error: UserError) -> str:
    return with_advice(error, click.get_current_context().command)


def _say_left_out(drawn: Drawn, empty: bool) -> None:
    """Tell of labels and photographs of which there is no mask."""
    from minispiral.data.labels.plan import some

    if drawn.unclear:
        say(
            f"EXIF turns {some(drawn.unclear)}; labels are taken as drawn on the picture as it is "
            "shown, which its size does not tell; if they were drawn on the pixels as they are "
            "stored, add --as-stored",
            err=True,
        )
    if drawn.skipped:
        say(f"left out: {_counts(drawn.skipped)}", err=True)
    if drawn.cut:
        say(f"drawn as far as it lies in the picture: {_number(drawn.cut, 'label')}", err=True)
    if drawn.missing:
        names = some(drawn.missing)
        say(f"labels of photographs that are not there: {names}", err=True)
    if drawn.undrawn:
        names = some(drawn.undrawn)
        say(f"photographs with labels of which nothing could be drawn, no mask: {names}", err=True)
    if drawn.unlabelled:
        why = "; --empty writes empty ones"
        if empty:
            why = ", since not all labels could be read or have their photograph"
        say(f"photographs without labels, no mask: {some(drawn.unlabelled)}{why}", err=True)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.items())


def _number(number: int, name: str) -> str:
    return f"{number} {name}{'s' * (number != 1)}"
