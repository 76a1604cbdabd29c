"""How much each row of a table is trained, and the synthetic photographs it is trained on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.common.photographs import make_once
from minispiral.cli.progress import TerminalReporter
from minispiral.errors import UserError

SPLITS = ("train", "val", "test")
TRANSFER = "linear"  # of the photographs that the tables in bench/results/paper are of


@dataclass(frozen=True)
class Budget:
    """Options of training that all rows share, and how many photographs ``synth`` makes.

    ``photos`` are those of train, val and test; ``size`` is their width and height. Modules deeper
    than ``deepest`` are left out. Where ``rates`` are given, each loss has that of them which is
    best for it on the validation photographs.
    """

    options: Mapping[str, Any]
    photos: tuple[int, int, int]
    size: tuple[int, int]
    deepest: int = 7
    rates: tuple[float, ...] = ()


BUDGETS = {
    # A minute or two for Table 4: shows that everything runs; the scores are meaningless.
    "smoke": Budget(
        {"width": 0.02, "batch": 2, "steps": 4, "lr": 1e-2, "validate_every": 4},
        (3, 1, 2),
        (288, 256),
    ),
    # Table 4 in about an hour on two cores. So few steps need a large learning rate: on the
    # validation photographs of UAV75, 450 steps at 1e-2 do as well as 1000 at 3e-3.
    "cpu": Budget(
        {"width": 0.125, "batch": 4, "steps": 1200, "lr": 1e-2, "validate_every": 200},
        (50, 10, 15),
        (512, 512),
    ),
    # Table 4 with three seeds in a few hours on two cores. A patch of 127 pixels is one pixel to a
    # module of depth 6. Drawn everywhere, so few patches hold so little crack that cross-entropy
    # does not work; half of them are drawn around a crack, for all networks and losses alike.
    "night": Budget(
        {
            "width": 0.125,
            "patch": 127,
            "batch": 4,
            "steps": 1500,
            "schedule": "cosine",
            "warmup": 50,
            "crack_share": 0.5,
            "validate_every": 500,
        },
        (50, 10, 15),
        (512, 512),
        deepest=6,
        rates=(3e-3, 1e-2, 3e-2),
    ),
    # Full width, a tenth or less of the paper's steps.
    "gpu": Budget(
        {"batch": 32, "steps": 8000, "lr": 3e-4, "validate_every": 400},
        (100, 20, 30),
        (1024, 768),
    ),
    # Section 4.2: the defaults of training.
    "paper": Budget({}, (278, 14, 14), (5472, 3678)),
}


def find_dataset(data: Path) -> Path:
    """``data``, if it is a folder with train/ and test/; val/ is optional."""
    missing = [name for name in ("train", "test") if not (data / name).is_dir()]
    if missing:
        raise UserError(
            f"{data} has no folder {' and no folder '.join(missing)}; give a folder with the "
            "datasets train/, val/ and test/ in it."
        )
    return data


def make_dataset(folder: Path, budget: Budget, terminal: TerminalReporter) -> Path:
    """Make those synthetic photographs of a budget that ``folder`` lacks."""
    for seed, (split, photos) in enumerate(zip(SPLITS, budget.photos, strict=True)):
        make_once(
            folder / split,
            terminal,
            photos=photos,
            size=budget.size,
            seed=seed,
            transfer=TRANSFER,
        )
    return folder
