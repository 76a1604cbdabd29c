"""What a run tells of its photographs before the first step."""

from pathlib import Path

from minispiral.data.doubts import Dataset, doubts, doubts_between, in_short, same_folder
from minispiral.data.patches import PatchSampler
from minispiral.data.store import PhotoStore
from minispiral.training.config import TrainConfig
from minispiral.training.reporter import Reporter


def tell_of_patches(sampler: PatchSampler, report: Reporter) -> None:
    """Report what drawing patches around cracks makes of the share of crack."""
    store = sampler.store
    photos, patches = store.crack_pixels / store.pixels, sampler.share_of_crack()
    report.message(
        f"crack is {photos:.2%} of the photographs and {patches:.2%} of the patches: crack will "
        "seem likelier to the network than it is, so choose its threshold on photographs."
    )


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
