"""``python -m bench few``: how many photographs must be labelled, with and without `pretrained`."""

import shutil
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.common import options
from bench.recipe import trials
from bench.recipe.trials import Trial
from minispiral.data.pairs import find_pairs

NETWORK: dict[str, Any] = {"depths": (1, 2, 3, 4, 5, 6), "width": 0.25}  # those of `pretrained`
RECIPE: dict[str, Any] = {
    "patch": 127,
    "batch": 4,
    "steps": 250,
    "schedule": "cosine",
    "warmup": 50,
    "device": "cpu",
}
STARTS: dict[str, dict[str, Any]] = {  # a network that knows something wants a smaller rate
    "pretrained": {"init": "pretrained", "lr": 2e-3},
    "scratch": {"lr": 1e-2},
}
PHOTOS = (5, 20, 50)


@click.command("few")
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@trials.seeds
@trials.runs("runs/few")
@trials.jobs
@options.out("few.json goes")
def command(data: Path, seeds: int, runs: Path, jobs: int, out: Path) -> None:
    """Train on 5, 20 and 50 photographs, from `pretrained` and from scratch.

    They are of DATA/train; those of DATA/test are scored. Each seed draws photographs of its own:
    5 are among the 20, and these among the 50.
    """
    rows = [
        Trial(
            f"{start}, {count} photographs",
            [
                {
                    **NETWORK,
                    **RECIPE,
                    **options_of_start,
                    "data": str(draw(data / "train", runs.absolute() / "photographs", count, seed)),
                    "seed": seed,
                }
                for seed in range(seeds)
            ],
        )
        for start, options_of_start in STARTS.items()
        for count in PHOTOS
    ]
    found = trials.carry_out("few", rows, runs.absolute(), data.absolute() / "test", jobs, out)
    trials.show("Trained on few photographs", found, "Test photographs, threshold 0.5.")


def draw(data: Path, folder: Path, count: int, seed: int) -> Path:
    """A dataset of the first ``count`` photographs in the order that ``seed`` puts them into."""
    pairs = find_pairs(data)
    drawn = folder / f"{count}-seed{seed}"
    if not drawn.exists():
        part = drawn.with_suffix(".part")  # renamed when complete
        shutil.rmtree(part, ignore_errors=True)
        for kind in ("images", "masks"):
            (part / kind).mkdir(parents=True)
        for i in np.random.default_rng(seed).permutation(len(pairs))[:count]:
            shutil.copy(pairs[i].photo, part / "images")
            shutil.copy(pairs[i].mask, part / "masks")
        part.rename(drawn)
    return drawn
