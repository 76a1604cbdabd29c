"""Score a trained network on labelled photographs (Section 4.1)."""

from collections.abc import Callable
from pathlib import Path

from minispiral.data.doubts import Dataset, doubts, in_short
from minispiral.data.look import Look, look_at
from minispiral.data.pairs import Pair, examine_pair, find_pairs, read_pair
from minispiral.data.problems import Problem
from minispiral.detection.augmented import predict_augmented
from minispiral.detection.metrics import (
    THRESHOLD,
    Best,
    PhotoScores,
    Summary,
    check_tolerance,
    score_photo,
    summarize,
)
from minispiral.detection.threshold import choose_threshold, doubt_about
from minispiral.detection.tiling import predict
from minispiral.detection.turns import take_turns
from minispiral.device import choose
from minispiral.distributed import World, world
from minispiral.memory import memory_for
from minispiral.runs.checkpoint import load_network


def evaluate(
    run: Path | str,
    data: Path | str,
    threshold: float | Best = THRESHOLD,
    tolerance: int = 0,
    progress: Callable[[float, int], None] | None = None,
    device: str = "auto",
    precision: str = "float32",
    mask_suffix: str = "",
    recursive: bool = False,
    as_stored: bool = False,
    warn: Callable[[str], None] | None = None,
    thin: bool = False,
    tta: bool = False,
) -> Summary:
    """Score the network of ``run`` on every photograph of the dataset ``data``.

    The scores are those of `score_photo` and `summarize` at ``threshold`` (`choose_threshold`),
    with a tolerance of ``tolerance`` pixels and, with ``thin``, of lines of one pixel. With ``tta``
    the maps are those of `predict_augmented`: test-time augmentation, for eight times the time.
    Every file is read once before the first prediction, so that a damaged one shows before any time
    is spent; ``warn`` is called with a line for what is doubtful. ``progress(done, total)`` counts
    photographs, with the fraction of the current one. ``device`` and ``precision`` are those of
    `minispiral.device.choose`, ``mask_suffix``, ``recursive`` and ``as_stored`` those of
    `find_pairs`.

    The processes that mpiexec started take turns with the photographs; all get the scores, and the
    first one calls ``progress`` and ``warn``.

    Raises `UserError` if there is no usable network or there are no pairs, for files that cannot
    be read or do not fit in memory and for photographs whose masks have another size.
    """
    check_tolerance(tolerance)
    everyone = world()
    value, source = everyone.from_first(lambda: choose_threshold(run, threshold))
    chosen = everyone.together(lambda: choose(device, precision))
    network = everyone.together(lambda: load_network(run, device=chosen))
    pairs = everyone.from_first(lambda: find_pairs(data, mask_suffix, recursive, as_stored))
    doubt = doubt_about(source, tta)
    if warn and everyone.is_first and doubt:
        warn(f"warning: {doubt}")
    _look_through(everyone, Path(data), pairs, warn)
    make_map = predict_augmented if tta else predict

    def score(i: int, tiles: Callable[[int, int], None] | None) -> PhotoScores:
        pair = pairs[i]
        with memory_for(pair.photo), chosen.in_use():
            photo, mask = read_pair(pair)
            probability = make_map(network, photo, progress=tiles)
            return score_photo(pair.name, probability, mask, value, tolerance, thin)

    return summarize(take_turns(everyone, len(pairs), score, progress), source, tta)


def _look_through(
    everyone: World, folder: Path, pairs: list[Pair], warn: Callable[[str], None] | None
) -> None:
    """Read every pair; where somebody listens, tell what is doubtful about them."""
    told = everyone.from_first(lambda: warn is not None)

    def examine(i: int) -> tuple[Look | None, list[Problem]]:
        with memory_for(pairs[i].photo):
            photo, mask, problems = examine_pair(pairs[i])
            return look_at(photo, mask) if told else None, problems

    examined = everyone.collect(len(pairs), examine)
    if warn and everyone.is_first:
        looks = [look for look, _ in examined if look is not None]
        problems = [problem for _, found in examined for problem in found]
        for line in in_short(doubts(Dataset(folder, pairs, looks, problems), quick=True)):
            warn(f"warning: {line}")
