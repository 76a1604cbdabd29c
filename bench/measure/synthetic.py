"""Errors on photographs of `minispiral synth`, whose masks or a network's maps are measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.measure.score import BESIDE, Truth, branch_errors, errors, gathered, scores
from minispiral.data.crack import Crack
from minispiral.data.synth import Sample, make_sample
from minispiral.detection.metrics import THRESHOLD
from minispiral.measurement import Measurement, Settings, measure
from minispiral.measurement.curves import Floats

BINS = ((0.0, 0.5), (0.5, 1.0), (1.0, 1.5), (1.5, 2.0), (2.0, 3.3))  # px of true width
FOUND = 4.0  # px: a true crack is found where a measured line is this near

Probability = NDArray[np.float32] | NDArray[np.bool_]


@dataclass(frozen=True)
class Lines:
    """Lengths in px of one photograph: of true cracks, found of them, measured, on no crack."""

    true: float
    found: float
    measured: float
    false: float
    false_cracks: int


def synthetic(
    photos: int,
    size: tuple[int, int],
    rng: np.random.Generator,
    probability_of: Callable[[Sample], Probability] = lambda sample: sample.mask,
    threshold: float = THRESHOLD,
) -> dict[str, Any]:
    """Errors in ``photos`` photographs of ``size`` (width, height) px, widths in px.

    ``probability_of`` gives the map of a sample, on which cracks begin at ``threshold`` and go on
    down to half of it. Beside the errors of widths stand how much of the
    true cracks' length was found, and the cracks measured where there are none.
    """
    settings = Settings(threshold=threshold, low=threshold / 2)
    parts, lines = [], []
    for _ in range(photos):
        sample = make_sample(rng, size[1], size[0])
        probability = probability_of(sample)
        measured = measure(sample.photo, probability, settings)
        rival = probability >= threshold
        parts.append(scores(sample.photo, rival, sample.cracks, measured, settings))
        lines.append(_lines(sample.cracks, measured))
    of = gathered(parts)
    measured_length, true, smooth = of.length.sum(axis=0)
    return {
        "all": errors(of),
        "widths": {f"{low:g}-{high:g}": errors(of, low, high) for low, high in BINS},
        "branches": branch_errors(of),
        "length_of_true": measured_length / true - 1,
        "length_of_smoothed_truth": measured_length / smooth - 1,
        **_found_and_false(lines, size),
    }


def _lines(cracks: Sequence[Crack], measured: Measurement) -> Lines:
    true = Truth.of(cracks).points
    told = np.concatenate([np.zeros((0, 2)), *(crack.points for crack in measured.cracks)])
    false, false_cracks = 0.0, 0
    for crack in measured.cracks:
        share = float((_distances(crack.points, true) >= BESIDE).mean())
        false += crack.length * share
        false_cracks += share > 0.5
    return Lines(
        len(true) * Truth.STEP,
        float((_distances(true, told) < FOUND).sum()) * Truth.STEP,
        sum(crack.length for crack in measured.cracks),
        false,
        false_cracks,
    )


def _distances(points: Floats, others: Floats) -> Floats:
    """How far each point is from the nearest of the others, px; infinite where there are none."""
    from scipy.spatial import cKDTree

    return cKDTree(others).query(points)[0] if len(others) else np.full(len(points), np.inf)


def _found_and_false(lines: Sequence[Lines], size: tuple[int, int]) -> dict[str, float]:
    megapixels = len(lines) * size[0] * size[1] / 1e6
    true, measured = sum(of.true for of in lines), sum(of.measured for of in lines)
    return {
        "length_found": sum(of.found for of in lines) / true,
        "false_length": sum(of.false for of in lines) / max(measured, 1e-9),
        "false_cracks_per_megapixel": sum(of.false_cracks for of in lines) / megapixels,
    }
