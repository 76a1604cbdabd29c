"""``minispiral synth``."""

from pathlib import Path

import click

from minispiral.cli.group import Failure
from minispiral.cli.options import PATH
from minispiral.cli.terminal import progress_bar, say
from minispiral.data.transfer import TRANSFERS


def parse_size(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int]:
    """Width and height in pixels from ``1024x768``."""
    width, _, height = value.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise click.BadParameter(f"{value!r} is not a size; give WxH, such as 1024x768.")
    return int(width), int(height)


@click.command()
@click.argument("folder", metavar="DIR", type=PATH)
@click.option("--photos", default=32, metavar="N", help="Number of photographs.")
@click.option(
    "--size",
    callback=parse_size,
    default="1024x768",
    metavar="WxH",
    help="Width and height in pixels.",
)
@click.option("--seed", default=0, metavar="S", help="The same seed makes the same photographs.")
@click.option(
    "--kind",
    type=click.Choice(("concrete", "varied")),
    default="concrete",
    show_default=True,
    help="Board-marked concrete with hairlines, or surfaces, cracks and cameras of all kinds.",
)
@click.option(
    "--transfer",
    type=click.Choice(TRANSFERS),
    default="srgb",
    show_default=True,
    help="How pixel values stand for light: srgb, as cameras write, or in proportion to it.",
)
def synth(
    folder: Path, photos: int, size: tuple[int, int], seed: int, kind: str, transfer: str
) -> None:
    """Make a dataset of synthetic concrete in DIR.

    Besides images/ and masks/ it has joints/ (formwork joints, which are not cracks) and cracks/
    (the course and true width of each crack, as JSON).

    \b
    Examples: minispiral synth concrete
              minispiral synth concrete --photos 100 --size 2048x1536 --seed 1
              minispiral synth anything --kind varied
    """
    from minispiral.data.synth import write_dataset

    try:
        with progress_bar("making photographs") as (progress, _):
            write_dataset(folder, photos, size, seed, progress, transfer, kind)
    except KeyboardInterrupt as stopped:
        raise Failure(f"Stopped; remove {folder} and run the command again.", 130) from stopped
    say(f"{photos} photographs with masks: {folder}")
