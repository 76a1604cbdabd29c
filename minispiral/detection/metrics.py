"""Scores of crack maps against labels (Section 4.1).

Photographs are scored one by one, pixel-wise, and the scores are averaged. A photograph without
any labelled crack has no recall; it is left out of the averages and counted separately.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.errors import UserError

THRESHOLD = 0.5  # the probability from which a pixel counts as crack, unless another is given


def average_precision(scores: NDArray[Any], labels: NDArray[np.bool_]) -> float:
    """Average precision ``AP = sum_k (R_k - R_(k-1)) P_k``, exact and without interpolation.

    ``P_k`` and ``R_k`` are the precision and recall of ``scores >= t_k``, where ``t_k`` runs down
    all distinct scores. Both arrays have the same shape, whatever it is.

    Raises `UserError` for shapes that differ, for NaN and if no label is positive.
    """
    if scores.shape != labels.shape:
        raise UserError(
            f"scores of shape {scores.shape} and labels of shape {labels.shape} were given, "
            "expected the same shape; compare each map with the mask of its own photograph"
        )
    labels = labels.astype(bool, copy=False)
    # Recall changes only at the scores of positives, so no other thresholds contribute; and two
    # plain sorts are faster than one argsort.
    positives, negatives = np.sort(scores[labels]), np.sort(scores[~labels])
    if positives.size == 0:
        raise UserError("average precision needs at least one positive label, none was given")
    if np.isnan(positives[-1]) or (negatives.size and np.isnan(negatives[-1])):
        raise UserError("average precision needs scores that are numbers, NaN was given")
    thresholds, gained = np.unique(positives, return_counts=True)
    true = positives.size - np.searchsorted(positives, thresholds)
    false = negatives.size - np.searchsorted(negatives, thresholds)
    return float(np.sum(gained * (true / (true + false))) / positives.size)


def dilate(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """The mask (h, w) of all pixels within a Euclidean distance of ``radius`` of a true one."""
    h = mask.shape[0]
    near = np.zeros_like(mask)
    wide = mask.copy()  # the mask dilated horizontally by `reach` pixels
    reach = 0
    for dy in range(min(radius, h - 1), -1, -1):
        while reach < isqrt(radius**2 - dy**2):
            reach += 1
            wide[:, reach:] |= mask[:, :-reach]
            wide[:, :-reach] |= mask[:, reach:]
        near[dy:] |= wide[: h - dy]
        near[: h - dy] |= wide[dy:]
    return near


@dataclass(frozen=True)
class PhotoScores:
    """The scores of one photograph; those that need a crack are None without one.

    ``precision``, ``recall`` and ``f1`` are those of ``probability >= threshold``, with a
    tolerance of ``tolerance`` pixels; ``average_precision`` never has a tolerance.
    ``false_alarm_rate`` is the share of false alarms among the pixels that are not crack.
    """

    name: str
    average_precision: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    false_alarm_rate: float
    threshold: float
    tolerance: int
    pixels: int
    crack_pixels: int
    found_pixels: int  # crack pixels that were detected
    detected_pixels: int
    correct_pixels: int  # detected pixels that are crack


def score_photo(
    name: str,
    probability: NDArray[np.float32],
    mask: NDArray[np.bool_],
    threshold: float = THRESHOLD,
    tolerance: int = 0,
) -> PhotoScores:
    """Score a map of probabilities (h, w) against the mask (h, w) of its photograph.

    With a tolerance of k pixels, a detected pixel is correct within k pixels of a crack pixel,
    and a crack pixel is found within k pixels of a detected one; distances are Euclidean. If
    nothing is detected, precision and F1 are 0.

    Raises `UserError` for shapes that differ, for NaN and for a negative tolerance.
    """
    if probability.shape != mask.shape:
        raise UserError(
            f"{name}: a map of shape {probability.shape} and a mask of shape {mask.shape} were "
            "given, expected the same shape; compare each map with the mask of its photograph"
        )
    if tolerance < 0:
        raise UserError(
            f"a tolerance of {tolerance} pixels was given, expected 0 or more", "tolerance"
        )
    if np.isnan(probability).any():
        raise UserError(
            f"{name}: the map holds NaN, expected probabilities; the network that made it is "
            "damaged, use an earlier checkpoint"
        )
    mask = mask.astype(bool, copy=False)
    detected = probability >= threshold
    correct = detected & (dilate(mask, tolerance) if tolerance else mask)
    found = mask & (dilate(detected, tolerance) if tolerance else detected)
    n_crack, n_found, n_detected, n_correct = (
        int(np.count_nonzero(pixels)) for pixels in (mask, found, detected, correct)
    )
    precision, recall, f1 = _precision_recall_f1(n_crack, n_found, n_detected, n_correct)
    has_crack = n_crack > 0
    return PhotoScores(
        name=name,
        average_precision=average_precision(probability, mask) if has_crack else None,
        precision=precision if has_crack else None,
        recall=recall,
        f1=f1,
        false_alarm_rate=(n_detected - n_correct) / max(mask.size - n_crack, 1),
        threshold=float(threshold),
        tolerance=int(tolerance),
        pixels=mask.size,
        crack_pixels=n_crack,
        found_pixels=n_found,
        detected_pixels=n_detected,
        correct_pixels=n_correct,
    )


@dataclass(frozen=True)
class Summary:
    """The scores of a set of photographs, averaged over those with a crack.

    ``false_alarm_rate_without_crack`` is the average over those without one. The pooled scores
    count the pixels of all photographs together, with or without a crack. A score that no
    photograph has is None.
    """

    average_precision: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    threshold: float
    tolerance: int  # pixels; average precision has none
    photos_with_crack: int
    photos_without_crack: int
    false_alarm_rate_without_crack: float | None
    pooled_precision: float | None
    pooled_recall: float | None
    pooled_f1: float | None
    photos: list[PhotoScores]

    def as_dict(self) -> dict[str, Any]:
        """JSON values by field name."""
        return asdict(self)


def summarize(photos: Sequence[PhotoScores]) -> Summary:
    """Average the scores of photographs, with equal weights.

    Raises `UserError` if there are no photographs or their thresholds or tolerances differ.
    """
    settings = {(photo.threshold, photo.tolerance) for photo in photos}
    if len(settings) != 1:
        raise UserError(
            f"photographs with {len(settings)} settings of threshold and tolerance were given, "
            "expected one; score at least one photograph, and all with the same settings"
        )
    [(threshold, tolerance)] = settings
    cracked = [photo for photo in photos if photo.crack_pixels > 0]
    precision, recall, f1 = _precision_recall_f1(
        sum(photo.crack_pixels for photo in photos),
        sum(photo.found_pixels for photo in photos),
        sum(photo.detected_pixels for photo in photos),
        sum(photo.correct_pixels for photo in photos),
    )
    return Summary(
        average_precision=_mean([photo.average_precision for photo in cracked]),
        precision=_mean([photo.precision for photo in cracked]),
        recall=_mean([photo.recall for photo in cracked]),
        f1=_mean([photo.f1 for photo in cracked]),
        threshold=threshold,
        tolerance=tolerance,
        photos_with_crack=len(cracked),
        photos_without_crack=len(photos) - len(cracked),
        false_alarm_rate_without_crack=_mean(
            [photo.false_alarm_rate for photo in photos if photo.crack_pixels == 0]
        ),
        pooled_precision=precision,
        pooled_recall=recall,
        pooled_f1=f1,
        photos=list(photos),
    )


def _precision_recall_f1(
    crack: int, found: int, detected: int, correct: int
) -> tuple[float, float | None, float | None]:
    """Precision, recall and F1; without any crack the last two are None."""
    precision = correct / detected if detected else 0.0
    if crack == 0:
        return precision, None, None
    recall = found / crack
    both = precision + recall
    return precision, recall, 2 * precision * recall / both if both else 0.0


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else None
