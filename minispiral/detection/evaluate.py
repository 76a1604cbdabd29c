"""Score a trained network on labelled photographs (Section 4.1)."""

from collections.abc import Callable
from pathlib import Path

from minispiral.data.doubts import Dataset, doubts, in_short
from minispiral.data.look import look_at
from minispiral.data.pairs import Pair, examine_pair, find_pairs, read_pair
from minispiral.detection.find import check_threshold
from minispiral.detection.metrics import THRESHOLD, Summary, score_photo, summarize
from minispiral.detection.tiling import photo_progress, predict
from minispiral.device import choose
from minispiral.memory import memory_for
from minispiral.runs.checkpoint import load_network


def evaluate(
    run: Path | str,
    data: Path | str,
    threshold: float = THRESHOLD,
    tolerance: int = 0,
    progress: Callable[[float, int], None] | None = None,
    device: str = "auto",
    precision: str = "float32",
    mask_suffix: str = "",
    recursive: bool = False,
    as_stored: bool = False,
    warn: Callable[[str], None] | None = None,
) -> Summary:
    """Score the network of ``run`` on every photograph of the dataset ``data``.

    The scores are those of `score_photo` at ``threshold``, with a tolerance of ``tolerance``
    pixels. Every file is read once before the first prediction, so that a damaged one shows before
    any time is spent; ``warn`` is called with a line for what is doubtful. ``progress(done,
    total)`` counts photographs, with the fraction of the current one. ``device`` and ``precision``
    are those of `minispiral.device.choose`, ``mask_suffix``, ``recursive`` and ``as_stored`` those
    of `find_pairs`.

    Raises `UserError` if there is no usable network or there are no pairs, for files that cannot
    be read or do not fit in memory and for photographs whose masks have another size.
    """
    check_threshold(threshold)
    chosen = choose(device, precision)
    network = load_network(run, device=chosen)
    pairs = find_pairs(data, mask_suffix, recursive, as_stored)
    _look_through(Path(data), pairs, warn)
    scores = []
    for i, pair in enumerate(pairs):
        tiles = photo_progress(progress, i, len(pairs))
        with memory_for(pair.photo), chosen.in_use():
            photo, mask = read_pair(pair)
            probability = predict(network, photo, progress=tiles)
            scores.append(score_photo(pair.name, probability, mask, threshold, tolerance))
    return summarize(scores)


def _look_through(folder: Path, pairs: list[Pair], warn: Callable[[str], None] | None) -> None:
    """Read every pair; where somebody listens, tell what is doubtful about them."""
    problems, looks = [], []
    for pair in pairs:
        with memory_for(pair.photo):
            photo, mask, doubtful = examine_pair(pair)
            if warn:
                looks.append(look_at(photo, mask))
        problems += doubtful
    if warn:
        for line in in_short(doubts(Dataset(folder, pairs, looks, problems), quick=True)):
            warn(f"warning: {line}")
