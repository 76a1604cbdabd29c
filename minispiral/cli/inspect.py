"""``minispiral inspect``."""

from pathlib import Path

import click

from minispiral.cli.options import PATH, as_stored_option, device_option, precision_option
from minispiral.cli.terminal import announce, say


def parse_pixel(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """Column and row, from 0, of the pixel ``1800,950``."""
    if value is None:
        return None
    x, _, y = value.partition(",")
    if not (x.isdecimal() and y.isdecimal()):
        raise click.BadParameter(f"{value!r} is not a pixel; give X,Y, such as 1800,950.")
    return int(x), int(y)


@click.command()
@click.argument("run", type=PATH)
@click.argument("photo", type=PATH)
@click.option(
    "--out", type=PATH, default="maps.png", metavar="FILE.png", help="The picture to draw."
)
@click.option(
    "--at",
    callback=parse_pixel,
    metavar="X,Y",
    help="Show the surroundings of this pixel [default: where most crack is seen].",
)
@click.option("--size", default=512, metavar="PIXELS", help="Show at most PIXELS x PIXELS.")
@as_stored_option
@device_option
@precision_option
def inspect(
    run: Path,
    photo: Path,
    out: Path,
    at: tuple[int, int] | None,
    size: int,
    as_stored: bool,
    device: str,
    precision: str,
) -> None:
    """Draw the maps that the network of RUN makes of PHOTO.

    Each map of a Spiral-Net (Fig. 3 of the paper), or side output of HED, is shown with its weight
    in the final 1 x 1 convolution, next to the photograph and the probability of crack.

    \b
    Examples: minispiral inspect run bridge.jpg
              minispiral inspect run bridge.jpg --out maps.png --at 1800,950 --size 300
    """
    from minispiral.detection import maps

    announce(device, precision)
    maps.inspect(run, photo, out, at, size, device, precision, as_stored)
    say(f"maps: {out}")
