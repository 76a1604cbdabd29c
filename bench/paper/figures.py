"""Figures 3 and 4 of the paper, drawn from the networks of Table 4."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.paper.cell import chosen_checkpoint
from bench.paper.tables import TABLE4, Row
from minispiral.data.pairs import find_pairs, read_pair
from minispiral.detection.maps import look
from minispiral.detection.metrics import PhotoScores, score_photo
from minispiral.detection.pictures import side_by_side
from minispiral.detection.tiling import predict
from minispiral.runs.checkpoint import load_network

PHOTOS = 4  # of the test set, in Fig. 4
Picture = NDArray[np.uint8]


def draw_maps(runs: Sequence[Path], test: Path) -> Picture:
    """Fig. 3: the maps of a Spiral-Net on the test photograph with the most crack pixels."""
    [run] = runs
    photo, _ = _most_cracked(test, 1)[0][1]
    return look(load_network(run, chosen_checkpoint(run)), photo).picture()


def draw_detections(runs: Sequence[Path], test: Path) -> Picture:
    """Fig. 4: photographs, their labels and the probabilities of both networks as grey values."""
    networks = [load_network(run, chosen_checkpoint(run)) for run in runs]
    rows: list[list[NDArray[Any]]] = []
    captions = []
    for name, (photo, mask) in _most_cracked(test, PHOTOS):
        maps = [predict(network, photo) for network in networks]
        scores = [score_photo(name, probability, mask) for probability in maps]
        rows.append([photo, mask, *(np.rint(255 * p).astype(np.uint8) for p in maps)])
        captions.append([name, "", *map(_caption, scores)])
    titles = ["photograph", "truth", "U-Net, cross-entropy", "Spiral-Net, Eq. 11"]
    return side_by_side(titles, rows, captions, legend=False)


def _caption(scores: PhotoScores) -> str:
    return f"AP {scores.average_precision or 0:.2f}, F1 {scores.f1 or 0:.2f}"


def _most_cracked(test: Path, photos: int) -> list[tuple[str, tuple[Picture, NDArray[np.bool_]]]]:
    """The photographs with the most crack pixels and their masks, by name."""
    pairs = {pair.name: pair for pair in find_pairs(test)}
    cracked = {name: int(np.count_nonzero(read_pair(pair)[1])) for name, pair in pairs.items()}
    chosen = sorted(cracked, key=lambda name: -cracked[name])[:photos]
    return [(name, read_pair(pairs[name])) for name in sorted(chosen)]


@dataclass(frozen=True)
class Figure:
    """A figure: the networks it shows, and how it is drawn from their runs and the test set."""

    title: str
    rows: tuple[Row, ...]
    draw: Callable[[Sequence[Path], Path], Picture]


def _row(name: str) -> Row:
    return next(row for row in TABLE4.rows if row.name == name)


FIGURES = {
    "fig3": Figure(
        "Fig. 3: intermediate maps", (_row("(a) cross-entropy / Spiral-Net"),), draw_maps
    ),
    "fig4": Figure(
        "Fig. 4: detected cracks",
        (_row("(a) cross-entropy / U-Net"), _row("(f) pseudo-F1, Eq. 11 / Spiral-Net")),
        draw_detections,
    ),
}
