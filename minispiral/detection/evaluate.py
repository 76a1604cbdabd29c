"""Score a trained network on labelled photographs (Section 4.1)."""

from collections.abc import Callable
from pathlib import Path

from minispiral.data.pairs import find_pairs, read_pair
from minispiral.detection.metrics import Summary, score_photo, summarize
from minispiral.detection.tiling import photo_progress, predict
from minispiral.device import choose
from minispiral.runs.checkpoint import load_network


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

    The scores are those of `score_photo` at ``threshold``, with a tolerance of ``tolerance``
    pixels. Every file is read once before the first prediction, so that a damaged one shows before
    any time is spent. ``progress(done, total)`` counts photographs, with the fraction of the
    current one. ``device`` and ``precision`` are those of `minispiral.device.choose`.

    Raises `UserError` if there is no usable network or there are no pairs, for files that cannot
    be read and for photographs whose masks have another size.
    """
    chosen = choose(device, precision)
    network = load_network(run, device=chosen)
    pairs = find_pairs(data)
    for pair in pairs:
        read_pair(pair)
    scores = []
    for i, pair in enumerate(pairs):
        photo, mask = read_pair(pair)
        with chosen.in_use():
            tiles = photo_progress(progress, i, len(pairs))
            probability = predict(network, photo, progress=tiles)
        scores.append(score_photo(pair.name, probability, mask, threshold, tolerance))
    return summarize(scores)
