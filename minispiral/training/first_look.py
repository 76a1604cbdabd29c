"""What a run tells of its photographs before the first step."""

from pathlib import Path

from minispiral.data.doubts import Dataset, doubts, doubts_between, in_short, same_folder
from minispiral.data.store import PhotoStore
from minispiral.training.config import TrainConfig
from minispiral.training.reporter import Reporter


def tell_of_photographs(
    config: TrainConfig, photos: PhotoStore, val: PhotoStore | None, report: Reporter
) -> None:
    """Report how many photographs there are, how much crack, and what is doubtful about them."""
    data = Dataset(Path(config.data), photos.pairs, photos.looks, photos.problems)
    report.message(data.summary())
    problems = doubts(data, quick=True)
    if val is not None and config.val is not None:
        others = Dataset(Path(config.val), val.pairs, val.looks, val.problems)
        report.message(f"to validate on: {others.summary()}")
        if not same_folder(data.folder, others.folder):
            problems += doubts(others, quick=True)
        problems += doubts_between(data, others)
    for line in in_short(problems):
        report.message(f"warning: {line}")
