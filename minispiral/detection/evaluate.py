"""Score the network of a run on labelled photographs: Section 4.1 of the paper."""

from collections.abc import Callable
from pathlib import Path

from minispiral.data.pairs import find_pairs, read_pair
from minispiral.detection.metrics import Summary, score_photo, summarize
from minispiral.detection.tiling import predict
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
