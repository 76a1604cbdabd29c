"""Score the network of a run on labelled photographs: Section 4.1 of the paper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from minispiral.data.pairs import find_pairs, read_pair
from minispiral.detection.metrics import PhotoScores, Summary, score_photo, summarize
from minispiral.detection.tiling import predict
from minispiral.device import choose
from minispiral.runs.checkpoint import load_network

if TYPE_CHECKING:
    from rich.table import Table


def evaluate(
    run: Path | str,
    data: Path | str,
    threshold: float = 0.5,
    tolerance: int = 0,
    progress: Callable[[float, int], None] | None = None,
    device: str = "auto",
    precision: str = "float32",
) -> Summary:
    """Score the network of ``run`` on every photograph of the dataset ``data``.

    Each photograph is predicted whole, by overlapping tiles, and scored at ``threshold`` with a
    tolerance of ``tolerance`` pixels. Every file is read before the first prediction, so that a
    damaged one shows before any work is done. ``progress`` is called with the photographs done,
    a part of one included, and all of them. ``device`` and ``precision`` are those of
    `minispiral.device.choose`.

    Raises `UserError` for no usable network, no pairs, files that cannot be read and
    photographs that differ from their masks in size.
    """
    computing = choose(device, precision)
    network = load_network(run, device=computing)
    pairs = find_pairs(data)
    for pair in pairs:
        read_pair(pair)
    scores = []
    for i, pair in enumerate(pairs):

        def tile_done(done: int, total: int, before: int = i) -> None:
            if progress is not None:
                progress(before + done / total, len(pairs))

        photo, mask = read_pair(pair)
        with computing.in_use():
            probability = predict(network, photo, progress=tile_done)
        scores.append(score_photo(pair.name, probability, mask, threshold, tolerance))
    return summarize(scores)


def scores_table(summary: Summary) -> Table:
    """The scores as a table: photographs with cracks, averages, then those without any crack."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    caption = f"detected: probability >= {summary.threshold:g}; {_tolerance(summary.tolerance)}"
    table = Table(box=SIMPLE_HEAD, caption=caption, caption_justify="left")
    table.add_column("photograph", overflow="fold")
    for heading in ("crack pixels", "AP", "precision", "recall", "F1", "false alarms"):
        table.add_column(heading, justify="right")

    with_crack = [photo for photo in summary.photos if photo.crack_pixels > 0]
    without_crack = [photo for photo in summary.photos if photo.crack_pixels == 0]
    for photo in with_crack:
        table.add_row(*_row(photo))
    table.add_section()
    table.add_row(
        f"average of {summary.photos_with_crack}",
        "",
        _score(summary.average_precision),
        _score(summary.precision),
        _score(summary.recall),
        _score(summary.f1),
        "",
    )
    table.add_row(
        "pooled, pixels of all photographs",
        "",
        "",
        _score(summary.pooled_precision),
        _score(summary.pooled_recall),
        _score(summary.pooled_f1),
        "",
    )
    if without_crack:
        table.add_section()
        for photo in without_crack:
            table.add_row(*_row(photo))
        table.add_section()
        table.add_row(
            f"average of {summary.photos_without_crack} without crack",
            *[""] * 5,
            _rate(summary.false_alarm_rate_without_crack),
        )
    return table


def _row(photo: PhotoScores) -> list[str]:
    scores = (photo.average_precision, photo.precision, photo.recall, photo.f1)
    return [
        photo.name,
        str(photo.crack_pixels),
        *map(_score, scores),
        _rate(photo.false_alarm_rate),
    ]


def _tolerance(pixels: int) -> str:
    """How precision, recall and F1 were counted."""
    if pixels == 0:
        return "zero tolerance"
    return f"precision, recall and F1 with a tolerance of {pixels} pixels, AP with none"


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.4%}"
