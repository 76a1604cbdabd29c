"""The options of ``detect`` that say how cracks are measured."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import TYPE_CHECKING, Any

import click

from minispiral.cli.options import PATH
from minispiral.data.transfer import TRANSFERS
from minispiral.errors import UserError

if TYPE_CHECKING:
    from minispiral.cli.measuring import Wishes


def numbers(names: str) -> Callable[[str], tuple[float, ...]]:
    """What reads numbers with commas between them, as many as ``names`` has."""
    count = names.count(",") + 1

    def parse(text: str) -> tuple[float, ...]:
        found = _floats(text.split(","))
        if found is None or len(found) != count:
            raise click.BadParameter(f"{text!r} is not {names}; give {count} numbers.")
        return tuple(found)

    return parse


def uncertain(text: str) -> tuple[float, float]:
    """A number, and its standard deviation if that stands after ``+-``, else 0."""
    found = _floats(text.replace("\N{PLUS-MINUS SIGN}", "+-").split("+-"))
    if found is None or len(found) > 2 or (len(found) == 2 and found[1] < 0):
        raise click.BadParameter(
            f"{text!r} is no number, nor one with its error; give such as 0.12 or 0.12+-0.002."
        )
    return found[0], found[1] if len(found) == 2 else 0.0


def _floats(words: list[str]) -> list[float] | None:
    try:
        found = [float(word) for word in words]
    except ValueError:
        return None
    return found if all(map(isfinite, found)) else None


_OPTIONS = (
    click.option(
        "--measure/--no-measure", default=True, help="Measure the cracks, or leave it out."
    ),
    click.option(
        "--scale",
        type=uncertain,
        metavar="MM_PER_PIXEL",
        help="Millimetres of wall in a pixel, perhaps with a standard deviation: 0.12+-0.002.",
    ),
    click.option(
        "--scales",
        type=PATH,
        metavar="FILE.csv",
        help="The scale of each photograph: photo, mm_per_pixel and perhaps relative_sd.",
    ),
    click.option(
        "--from-points",
        type=numbers("X1,Y1,X2,Y2,MM"),
        metavar="X1,Y1,X2,Y2,MM",
        help="The scale from two points, in pixels, that are MM millimetres apart.",
    ),
    click.option(
        "--distance",
        type=uncertain,
        metavar="M",
        help="The scale from the camera's distance to the wall in metres, perhaps with a standard "
        "deviation: 2.5+-0.05; EXIF tells the rest, or the next two options.",
    ),
    click.option("--focal-length", "focal", type=float, metavar="MM", help="Of the lens."),
    click.option(
        "--pixel-pitch", "pitch", type=float, metavar="UM", help="Of the sensor, in micrometres."
    ),
    click.option(
        "--reading",
        "readings",
        type=numbers("X,Y,MM"),
        metavar="X,Y,MM",
        multiple=True,
        help="A width read from a crack card at a pixel; may be given again.",
    ),
    click.option(
        "--readings",
        "readings_table",
        type=PATH,
        metavar="FILE.csv",
        help="Readings in many photographs: photo, x, y, mm and perhaps sd_mm.",
    ),
    click.option(
        "--transfer",
        type=click.Choice(TRANSFERS),
        default=TRANSFERS[0],
        help="How pixel values stand for light: srgb as cameras write, or linear.",
    ),
    click.option("--dxf", is_flag=True, help="Write cracks.dxf too, with the extra `dxf`."),
)


def measure_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options, in their order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def wishes_of(wanted: bool, values: dict[str, Any]) -> Wishes | None:
    """The options' ``values``; `None` where nothing is to be measured.

    Raises `UserError` for options about a measurement that is not wanted, and for numbers that
    cannot be true.
    """
    given = [name for name, value in values.items() if value and name != "transfer"]
    if not wanted:
        if given:
            raise UserError(
                f"The {given[0].replace('_', ' ')} was given, but measuring was left out", "measure"
            )
        return None
    from minispiral.cli.measuring import Wishes
    from minispiral.measurement.contrast import Reading
    from minispiral.measurement.scale import Scale
    from minispiral.measurement.scales import Known

    for reading in values["readings"]:
        Reading(*reading)
    scale = None
    if values["scale"] is not None:
        mm, sd = values["scale"]
        scale = Scale(mm, sd / abs(mm) if mm else 0.0)
    known = Known(
        scale,
        values["scales"],
        values["from_points"],
        values["distance"],
        values["focal"],
        values["pitch"],
    )
    return Wishes(
        known, values["readings"], values["readings_table"], values["transfer"], values["dxf"]
    )
