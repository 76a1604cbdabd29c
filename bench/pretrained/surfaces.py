"""``python -m bench surfaces``: synthetic photographs beside real ones, in numbers."""

from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from rich.console import Console

from bench.common import options
from bench.common.datasets import named
from bench.common.results import keep
from bench.common.text import table
from bench.pretrained.appearance import appearance
from minispiral.data.pairs import find_pairs, read_pair
from minispiral.errors import UserError

QUANTILES = {"p10": 0.1, "median": 0.5, "p90": 0.9}  # over the photographs
LEAST = 64  # pixels, the shortest side of a photograph whose spectrum tells anything


class Shown(NamedTuple):
    """How a statistic of `appearance` is written."""

    heading: str
    digits: int


SHOWN = {
    "crack_share": Shown("Crack,\n%", 2),
    "width": Shown("Width,\npx", 1),
    "depth": Shown("Depth", 2),
    "deviations": Shown("Depth,\nSD", 1),
    "grain": Shown("Grain", 3),
    "brightness": Shown("Brightness", 2),
    "saturation": Shown("Saturation", 2),
    "slope": Shown("Slope", 2),
    "sharpness": Shown("Sharpness", 2),
}


@click.command("surfaces")
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.json_file
def command(data: tuple[Path, ...], file: Path | None) -> None:
    """Statistics of the photographs and masks of each DATA folder, to compare them.

    The median over the photographs, and below it the quantiles of 10 and 90 %. Width and depth are
    those of the photographs with a crack. What each statistic is, `bench.pretrained.appearance`
    says.
    """
    found = {name: measure(folder) for name, folder in named(data).items()}
    shown = table(
        "Photographs and their masks",
        ("Dataset",),
        ("Photos,\nwith crack", *(statistic.heading for statistic in SHOWN.values())),
        "Median over the photographs, and quantiles of 10 and 90 %.",
        show_lines=True,
    )
    for name, one in found.items():
        photos = f"{one['photos']}\n{one['photos_with_crack']}"
        shown.add_row(name, photos, *(_cell(one["statistics"], key) for key in SHOWN))
    Console(width=160).print(shown)
    if file:
        keep(file, found)


def measure(data: Path) -> dict[str, Any]:
    """How many photographs there are, and the quantiles of each statistic over them.

    Raises `UserError` for a dataset that cannot be read and for a side below 64 pixels.
    """
    rows, with_crack = [], 0
    for pair in find_pairs(data):
        photo, mask = read_pair(pair)
        if min(mask.shape) < LEAST:
            raise UserError(
                f"{pair.photo} is {mask.shape[1]} x {mask.shape[0]} pixels, expected at least "
                f"{LEAST} on each side; smaller ones have no spectrum to speak of"
            )
        with_crack += bool(mask.any())
        rows.append(appearance(photo, mask))
    statistics = {}
    for key in SHOWN:
        values = [row[key] for row in rows if key in row]
        if values:
            statistics[key] = {name: float(np.quantile(values, q)) for name, q in QUANTILES.items()}
    return {"photos": len(rows), "photos_with_crack": with_crack, "statistics": statistics}


def _cell(statistics: dict[str, dict[str, float]], key: str) -> str:
    if key not in statistics:
        return "-"
    low, middle, high = (f"{value:.{SHOWN[key].digits}f}" for value in statistics[key].values())
    return f"{middle}\n{low}-{high}"
