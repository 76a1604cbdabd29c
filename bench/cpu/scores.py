"""``python -m bench scores``: what it takes to score the map of a large photograph.

The rival is what most scripts do: threshold the map 99 times, and count each time. Three of these
are timed, in turns with the scores that are made at once.
"""

import json
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench.common import options
from bench.common.machine import conditions
from minispiral.data.thinning import thin
from minispiral.detection.metrics import score_photo
from minispiral.detection.neighbourhoods import dilate

WAYS: dict[str, dict[str, Any]] = {
    "zero tolerance": {},
    "tolerance 2": {"tolerance": 2},
    "tolerance 10": {"tolerance": 10},
    "thinned, tolerance 2": {"tolerance": 2, "thin": True},
}
THRESHOLDS = (0.1, 0.5, 0.9)  # of 99


def example(width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A map (h, w) with 1 % of crack, which it finds a pixel beside, and the mask."""
    rng = np.random.default_rng(0)
    mask = np.zeros((height, width), bool)
    columns = np.arange(width)
    for _ in range(max(height // 300, 1)):
        rows = rng.integers(height) + np.cumsum(rng.integers(-1, 2, width))
        for dy in (-1, 0, 1):
            mask[(rows + dy) % height, columns] = True
    logits = rng.normal(-8, 1.2, mask.shape).astype(np.float32)
    logits[np.roll(mask, 1, axis=0)] += 10
    return (1 / (1 + np.exp(-logits))).astype(np.float32), mask


def one_threshold(
    values: NDArray[np.float32],
    mask: NDArray[np.bool_],
    tolerance: int,
    thin_them: bool,
    threshold: float,
) -> int:
    """What a script counts at a threshold: correct and found pixels."""
    detected = values >= threshold
    if thin_them:
        detected = thin(detected)
    near, close = dilate(mask, tolerance), dilate(detected, tolerance)
    return int(np.count_nonzero(detected & near) + np.count_nonzero(mask & close))


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    """By the clock, and of all processors."""
    start, busy = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start, time.process_time() - busy


def most_memory(run: Callable[[], object]) -> float:
    """Megabytes of arrays, at most, beside those that were there before; not timed."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def measure(size: tuple[int, int], repeats: int) -> dict[str, Any]:
    """Median seconds and the most memory beside map and mask, by way."""
    values, mask = example(*size)
    found = {}
    for way, how in WAYS.items():
        score = partial(score_photo, "map", values, mask, **how)
        one = partial(one_threshold, values, mask, how.get("tolerance", 0), "thin" in how)
        ours, rival = [], []
        for _ in range(repeats):
            ours.append(seconds(score))
            rival += [seconds(partial(one, threshold))[1] for threshold in THRESHOLDS]
        found[way] = {
            "seconds": median(clock for clock, _ in ours),
            "processor_seconds": median(busy for _, busy in ours),
            "processor_seconds_99_thresholds": 99 * median(rival),
            "megabytes": most_memory(score),
        }
    megapixels = size[0] * size[1] / 1e6
    return {"megapixels": megapixels, "crack_share": float(mask.mean()), "ways": found}


@click.command()
@options.photo
@options.repeats("Rounds timed.")
@options.as_json
def scores(photo: tuple[int, int], repeats: int, as_json: bool) -> None:
    """Time the scores of one map: seconds, processor seconds and memory."""
    found = {"conditions": conditions(), **measure(photo, repeats)}
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    table = Table(title=f"{found['megapixels']:.1f} megapixels, {found['crack_share']:.1%} crack")
    for heading in ("", "seconds", "of processors", "99 thresholds apart", "MB"):
        table.add_column(heading, justify="right" if heading else "left")
    for way, one in found["ways"].items():
        table.add_row(way, *(f"{value:.2f}" for value in one.values()))
    Console().print(table)
