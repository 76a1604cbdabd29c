"""``python -m bench ablation``: what each part of the recipe beyond the paper gains."""

from pathlib import Path
from typing import Any

import click

from bench.common import options
from bench.recipe import trials
from bench.recipe.trials import Trial

BASE: dict[str, Any] = {
    "depths": (1, 2, 3, 4, 5, 6),
    "width": 0.125,
    "patch": 127,
    "batch": 4,
    "steps": 800,
    "lr": 1e-2,
    "validate_every": 200,
    "device": "cpu",
}
COSINE = {"schedule": "cosine", "warmup": 50}
VARIANTS: dict[str, dict[str, Any]] = {
    "paper's recipe": {},
    "cosine": COSINE,
    "average": {"average": True},
    "augment": {"augment": True},
    "crack-share 0.5": {"crack_share": 0.5},
    "clip 20": {"clip": 20.0},
    "cosine, average": {**COSINE, "average": True},
}


@click.command("ablation")
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@trials.seeds
@trials.runs("runs/ablation")
@trials.jobs
@options.out("ablation.json goes")
def command(data: Path, seeds: int, runs: Path, jobs: int, out: Path) -> None:
    """Train with one part of the recipe at a time, and score the validation photographs.

    Spiral-Net and Eq. 11, on DATA/train; scored on DATA/val. Test photographs are not touched.
    """
    folders = {"data": str(data.absolute() / "train"), "val": str(data.absolute() / "val")}
    rows = [
        Trial(name, [{**BASE, **variant, **folders, "seed": seed} for seed in range(seeds)])
        for name, variant in VARIANTS.items()
    ]
    found = trials.carry_out("ablation", rows, runs.absolute(), data.absolute() / "val", jobs, out)
    trials.show("What each part of the recipe gains", found, "Validation photographs.")
