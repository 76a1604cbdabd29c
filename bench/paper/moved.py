"""``python -m bench moved``: what a label that is off by one pixel costs, whatever the network.

The scores of the labels themselves, changed a little, say how high the scores of somebody can be
who finds every crack and traces it as well as another person would.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bench.common import options
from bench.common.datasets import named
from bench.common.results import keep
from bench.common.text import ratio, table
from minispiral.data.pairs import find_pairs
from minispiral.data.photos import read_mask
from minispiral.data.thinning import thin
from minispiral.detection.metrics import score_photo
from minispiral.detection.neighbourhoods import dilate

Mask = NDArray[np.bool_]

TOLERANCES = {"f1": 0, "f1_within_2": 2}  # pixels
DIRECTIONS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
CHANGES = {
    "moved": "Moved by 1 px",
    "wider": "1 px wider to each side",
    "narrower": "1 px narrower from each side",
    "line": "Line of 1 px",
}


def changed(mask: Mask, change: str) -> Iterator[Mask]:
    """The mask (h, w) after one of `CHANGES`; "moved" to each of the 8 neighbours.

    Wider and narrower by a neighbourhood of 4; none if no pixel of the narrower one is left. What
    is moved out of the picture is lost, and no label is narrowed from the border.
    """
    if change == "moved":
        for dy, dx in DIRECTIONS:
            yield moved(mask, dy, dx)
    elif change == "wider":
        yield dilate(mask, 1)
    elif change == "narrower":
        narrower = ~dilate(~mask, 1)
        if narrower.any():
            yield narrower
    else:
        yield thin(mask)


def moved(mask: Mask, dy: int, dx: int) -> Mask:
    """The mask (h, w), moved by up to one pixel down and to the right."""
    h, w = mask.shape
    found: Mask = np.pad(mask, 1)[1 - dy : 1 - dy + h, 1 - dx : 1 - dx + w]
    return found


def measure(data: Path) -> dict[str, Any]:
    """Mean F1 of changed masks against the masks, over the photographs with a crack, by change.

    Where nothing is left of a narrower mask, its photograph is left out of that mean, and
    ``photos`` is the number that stay. The photographs are not read.
    """
    masks = [mask for pair in find_pairs(data) if (mask := read_mask(pair.mask)).any()]
    found: dict[str, Any] = {"photos_with_crack": len(masks)}
    for change in CHANGES:
        scores: dict[str, list[float]] = {name: [] for name in TOLERANCES}
        for mask in masks:
            results = list(changed(mask, change))
            for name, tolerance in TOLERANCES.items() if results else ():
                scores[name].append(fmean(f1(result, mask, tolerance) for result in results))
        means = {name: fmean(values) if values else None for name, values in scores.items()}
        found[change] = {"photos": len(scores["f1"]), **means}
    return found


def f1(detected: Mask, mask: Mask, tolerance: int) -> float:
    """As `minispiral evaluate` counts it; the mask has a crack, without which there is none."""
    return score_photo("", detected.astype(np.float32), mask, tolerance=tolerance).f1 or 0.0


@click.command("moved")
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.json_file
def command(data: tuple[Path, ...], file: Path | None) -> None:
    """Mean F1 of the masks of each DATA folder against themselves, moved, wider and narrower.

    With zero tolerance and, below it, within 2 pixels.
    """
    found = {name: measure(folder) for name, folder in named(data).items()}
    shown = table(
        "F1 of changed masks against the masks",
        ("Dataset",),
        ("With crack", *CHANGES.values()),
        "Zero tolerance; within 2 px. Averages over the photographs with a crack.",
        "Masks of which nothing is left are left out; so many are left.",
        show_lines=True,
    )
    for name, one in found.items():
        cells = (_cell(one[change], one["photos_with_crack"]) for change in CHANGES)
        shown.add_row(name, str(one["photos_with_crack"]), *cells)
    Console(width=140).print(shown)
    if file:
        keep(file, found)


def _cell(scores: dict[str, Any], photos: int) -> str:
    text = "\n".join(ratio(scores[name]) for name in TOLERANCES)
    return text if scores["photos"] == photos else f"{text}\n{scores['photos']} left"
