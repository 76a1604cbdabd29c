"""The demonstration: cross-entropy against Eq. 11 on synthetic photographs, in minutes."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.data.pairs import find_pairs
from minispiral.data.photos import read_mask, read_photo, write_picture
from minispiral.data.synth import write_dataset
from minispiral.detection.evaluate import evaluate
from minispiral.detection.find import find_cracks
from minispiral.detection.metrics import PhotoScores, Summary
from minispiral.detection.pictures import overlay, side_by_side
from minispiral.device import Device, choose
from minispiral.distributed import world
from minispiral.errors import UserError
from minispiral.files import write_text
from minispiral.runs.checkpoint import load_network
from minispiral.runs.lock import lock_run
from minispiral.training.config import TrainConfig
from minispiral.training.loop import train
from minispiral.training.reporter import Reporter

# Marks the folder of a demonstration, and holds the scores once it has finished.
MARK = "demo.json"
MADE_BY = "minispiral demo"
DATASETS = ("train", "val", "unseen")
TITLES = {"cross-entropy": "cross-entropy", "pseudo-f1": "pseudo-F1 (Eq. 11)"}  # by loss


@dataclass(frozen=True)
class Settings:
    """The size of the demonstration; the defaults take about four minutes on two cores."""

    photos: int = 40  # to train on
    val_photos: int = 8  # to choose the best checkpoint
    unseen_photos: int = 16  # to compare the networks
    side: int = 511  # of the photographs, in pixels
    depths: tuple[int, ...] = (1, 2, 3, 4)
    width: float = 0.25
    patch: int = 127
    batch: int = 8
    steps: int = 900
    validate_every: int = 150  # steps
    lr: float = 2e-3
    seed: int = 0
    rows: int = 4  # photographs in the picture


@dataclass(frozen=True)
class Demonstration:
    """Scores on the unseen photographs by loss, and pictures by what they show."""

    scores: dict[str, Summary]
    pictures: dict[str, Path]


def demo(
    out: Path,
    report: Reporter | None = None,
    settings: Settings | None = None,
    device: str = "auto",
    precision: str = "float32",
) -> Demonstration:
    """Train two networks with two losses, from the same weights and on the same patches.

    Makes synthetic photographs in ``out/train``, ``out/val`` and ``out/unseen``, trains the runs
    ``out/cross-entropy`` and ``out/pseudo-f1``, scores the best checkpoint of each on the unseen
    photographs and draws ``out/comparison.png``. An earlier demonstration in ``out`` is replaced.
    The processes that mpiexec started do it together. ``device`` and ``precision`` are those of
    `minispiral.device.choose`.

    Raises `UserError` if ``out`` holds anything else or cannot be written to, and `Interrupted`
    after Ctrl-C.
    """
    everyone = world()
    report = report if report and everyone.is_first else Reporter()
    settings = settings or Settings()
    chosen = choose(device, precision)
    with ExitStack() as stack:
        everyone.from_first(lambda: _prepare(out, settings, stack, report))
        scores = {}
        for loss, title in TITLES.items():
            report.message(f"Training with {title}.")
            config = replace(_config(out, loss, settings), device=device, precision=precision)
            train(config, out / loss, report=report)
            scores[loss] = evaluate(out / loss, out / "unseen", device=device, precision=precision)

        return everyone.from_first(lambda: _finish(out, scores, settings.rows, chosen))


def _prepare(out: Path, settings: Settings, stack: ExitStack, report: Reporter) -> None:
    """Lock the folder until ``stack`` ends, clear it and make the photographs."""
    _refuse_foreign(out)
    stack.enter_context(lock_run(out))
    write_text(out / MARK, json.dumps({"made_by": MADE_BY}) + "\n")
    for name in (*DATASETS, *TITLES):
        shutil.rmtree(out / name, ignore_errors=True)

    counts = (settings.photos, settings.val_photos, settings.unseen_photos)
    report.message(f"Making {sum(counts)} photographs in {out}.")
    for i, (name, count) in enumerate(zip(DATASETS, counts, strict=True)):
        write_dataset(out / name, count, (settings.side,) * 2, settings.seed + i)


def _finish(out: Path, scores: dict[str, Summary], rows: int, device: Device) -> Demonstration:
    """Draw the comparison and write down the scores."""
    comparison = out / "comparison.png"
    with device.in_use():
        write_picture(comparison, _compare(out, scores, rows, device))
    result = {"made_by": MADE_BY, "scores": {k: v.as_dict() for k, v in scores.items()}}
    write_text(out / MARK, json.dumps(result, indent=2) + "\n")
    pictures = {"comparison": comparison}
    pictures |= {f"curves of {title}": out / loss / "curves.png" for loss, title in TITLES.items()}
    return Demonstration(scores, {what: path for what, path in pictures.items() if path.exists()})


def _refuse_foreign(out: Path) -> None:
    """Raise `UserError` unless ``out`` is new, empty or holds a demonstration."""
    if not out.exists():
        return
    try:
        # Another process may be beginning here: all but these files comes after the mark, so that
        # whoever has seen more of them finds it.
        if {entry.name for entry in out.iterdir()} <= {".lock", f".{MARK}.part"}:
            return
        mark: Any = json.loads((out / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        mark = None
    if isinstance(mark, dict) and mark.get("made_by") == MADE_BY:
        return
    raise UserError(
        f"{out} holds something other than a demonstration, which would be overwritten", "out"
    )


def _config(out: Path, loss: str, settings: Settings) -> TrainConfig:
    return TrainConfig(
        data=out / "train",
        val=out / "val",
        loss=loss,
        depths=settings.depths,
        width=settings.width,
        patch=settings.patch,
        batch=settings.batch,
        steps=settings.steps,
        validate_every=settings.validate_every,
        lr=settings.lr,
        seed=settings.seed,
    )


def _compare(out: Path, scores: dict[str, Summary], rows: int, device: Device) -> NDArray[np.uint8]:
    """The first unseen photographs with cracks, the truth and what each network finds."""
    networks = {loss: load_network(out / loss, device=device) for loss in TITLES}
    pictures: list[list[NDArray[Any]]] = []
    captions: list[list[str]] = []
    for pair, *of_photo in zip(
        find_pairs(out / "unseen"), *(scores[loss].photos for loss in TITLES), strict=True
    ):
        if of_photo[0].crack_pixels == 0 or len(pictures) == rows:
            continue
        photo, mask = read_photo(pair.photo), read_mask(pair.mask)
        found = [
            overlay(photo, find_cracks(network, photo).crack, truth=mask)
            for network in networks.values()
        ]
        pictures.append([photo, mask, *found])
        captions.append([pair.name, "", *map(_caption, of_photo)])
    return side_by_side(["photograph", "truth", *TITLES.values()], pictures, captions)


def _caption(photo: PhotoScores) -> str:
    return f"precision {photo.precision:.2f}  recall {photo.recall:.2f}  F1 {photo.f1:.2f}"
