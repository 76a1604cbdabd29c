"""Scores of crack maps against labels (Section 4.1).

Photographs are scored one by one, pixel-wise, and the scores are averaged. A photograph without
any labelled crack has no recall; it is left out of the averages and counted separately. The scores
of other papers, IoU, ODS and OIS, stand beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import reduce
from operator import add
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from minispiral.data.thinning import thin as to_lines
from minispiral.detection.counts import Counts, count, count_thinned
from minispiral.detection.neighbourhoods import around, dilate
from minispiral.errors import UserError

THRESHOLD = 0.5  # the probability from which a pixel counts as crack, unless another is given
Best = Literal["best"]
BEST: Best = "best"  # in its place: the threshold that was best on validation photographs


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


@dataclass(frozen=True)
class PhotoScores:
    """The scores of one photograph; those that need a crack are None without one.

    ``precision``, ``recall`` and ``f1`` are those of ``probability >= threshold``, with a
    tolerance of ``tolerance`` pixels and, with ``thin``, of lines of one pixel; so is ``best_f1``,
    the largest at any threshold of ``counts``, and ``best_threshold``. ``average_precision`` and
    ``iou`` never have a tolerance, and are never those of lines. ``false_alarm_rate`` is the share
    of false alarms among the pixels that are not crack.
    """

    name: str
    average_precision: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    iou: float | None
    best_f1: float | None
    best_threshold: float | None
    false_alarm_rate: float
    threshold: float
    tolerance: int
    thin: bool
    pixels: int
    crack_pixels: int
    label_pixels: int  # those of the crack that are to be found: of its lines, if thin
    found_pixels: int  # label pixels that were detected
    detected_pixels: int
    correct_pixels: int  # detected pixels that are crack
    overlap_pixels: int  # crack pixels that were detected, without tolerance or thinning
    union_pixels: int  # pixels that are crack, detected or both, likewise
    counts: Counts = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """JSON values by field name."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "counts"}


def score_photo(
    name: str,
    probability: NDArray[np.float32],
    mask: NDArray[np.bool_],
    threshold: float = THRESHOLD,
    tolerance: int = 0,
    thin: bool = False,
) -> PhotoScores:
    """Score a map of probabilities (h, w) against the mask (h, w) of its photograph.

    With a tolerance of k pixels, a detected pixel is correct within k pixels of a crack pixel,
    and a crack pixel is found within k pixels of a detected one; distances are Euclidean. If
    nothing is detected, precision and F1 are 0. With ``thin`` mask and detections are thinned to
    lines of one pixel first. IoU is ``|detected and crack| / |detected or crack|``.

    Raises `UserError` for shapes that differ, for NaN and for a negative tolerance.
    """
    if probability.shape != mask.shape:
        raise UserError(
            f"{name}: a map of shape {probability.shape} and a mask of shape {mask.shape} were "
            "given, expected the same shape; compare each map with the mask of its photograph"
        )
    check_tolerance(tolerance)
    if np.isnan(probability).any():
        raise UserError(
            f"{name}: the map holds NaN, expected probabilities; the network that made it is "
            "damaged, use an earlier checkpoint"
        )
    mask = mask.astype(bool, copy=False)
    detected = probability >= threshold
    overlap = int(np.count_nonzero(detected & mask))
    union = int(np.count_nonzero(mask)) + int(np.count_nonzero(detected)) - overlap
    label = to_lines(mask) if thin else mask
    near = dilate(label, tolerance) if tolerance else label
    single = probability.astype(np.float32, copy=False)
    if thin:
        counts = count_thinned(single, label, near, tolerance)
        detected = to_lines(detected)
        found = around(detected, label, tolerance, np.bitwise_or)
    else:
        highest = around(probability, label, tolerance)
        counts = count(single, near, highest.astype(np.float32, copy=False) if tolerance else None)
        found = highest >= threshold
    n_label, n_found = found.size, int(np.count_nonzero(found))
    n_detected, n_correct = int(np.count_nonzero(detected)), int(np.count_nonzero(detected & near))
    precision, recall, f1 = _precision_recall_f1(n_label, n_found, n_detected, n_correct)
    n_crack = int(np.count_nonzero(mask))
    best = counts.best() if n_crack else None
    return PhotoScores(
        name=name,
        average_precision=None if best is None else average_precision(probability, mask),
        precision=None if best is None else precision,
        recall=recall,
        f1=f1,
        iou=None if best is None else overlap / union,
        best_f1=None if best is None else float(counts.f1[best]),
        best_threshold=None if best is None else float(counts.thresholds[best]),
        false_alarm_rate=(n_detected - n_correct) / max(mask.size - n_crack, 1),
        threshold=float(threshold),
        tolerance=int(tolerance),
        thin=thin,
        pixels=mask.size,
        crack_pixels=n_crack,
        label_pixels=n_label,
        found_pixels=n_found,
        detected_pixels=n_detected,
        correct_pixels=n_correct,
        overlap_pixels=overlap,
        union_pixels=union,
        counts=counts,
    )


def check_tolerance(tolerance: int) -> None:
    """Raise `UserError` for a tolerance below 0."""
    if tolerance < 0:
        raise UserError(
            f"a tolerance of {tolerance} pixels was given, expected 0 or more", "tolerance"
        )


@dataclass(frozen=True)
class Summary:
    """The scores of a set of photographs, averaged over those with a crack.

    ``ois`` averages the best F1 of each photograph. ``false_alarm_rate_without_crack`` is the
    average over the photographs without crack. The pooled scores count the pixels of all
    photographs together, with or without a crack, and so does ``ods``: the best pooled F1 at any
    one threshold, which is ``ods_threshold``. ``pooled_ois`` pools each photograph with a crack at
    its own best threshold. A score that no photograph has is None.

    Tolerance and thinning are those of `PhotoScores`; they concern ``ods``, ``ois`` and
    ``pooled_average_precision`` too. ``counts`` are the pooled ones at all thresholds.
    """

    average_precision: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    iou: float | None
    ods: float | None
    ods_threshold: float | None
    ois: float | None
    threshold: float
    threshold_from: str  # "given", or "validation": with the best pooled F1 there
    tolerance: int  # pixels
    thin: bool
    tta: bool  # whether the maps were made with test-time augmentation
    photos_with_crack: int
    photos_without_crack: int
    false_alarm_rate_without_crack: float | None
    pooled_precision: float | None
    pooled_recall: float | None
    pooled_f1: float | None
    pooled_iou: float | None
    pooled_ois: float | None
    pooled_average_precision: float | None
    photos: list[PhotoScores]
    counts: Counts = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """JSON values by field name."""
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "counts"}
        return values | {"photos": [photo.as_dict() for photo in self.photos]}


def summarize(
    photos: Sequence[PhotoScores], threshold_from: str = "given", tta: bool = False
) -> Summary:
    """Average the scores of photographs, with equal weights.

    ``threshold_from`` and ``tta`` are kept in the summary.

    Raises `UserError` if there are no photographs or they were scored in different ways.
    """
    settings = {(photo.threshold, photo.tolerance, photo.thin) for photo in photos}
    if len(settings) != 1:
        raise UserError(
            f"photographs with {len(settings)} settings of threshold, tolerance and thinning were "
            "given, expected one; score at least one photograph, and all with the same settings"
        )
    [(threshold, tolerance, thin)] = settings
    cracked = [photo for photo in photos if photo.crack_pixels > 0]
    precision, recall, f1 = _precision_recall_f1(
        sum(photo.label_pixels for photo in photos),
        sum(photo.found_pixels for photo in photos),
        sum(photo.detected_pixels for photo in photos),
        sum(photo.correct_pixels for photo in photos),
    )
    counts = reduce(add, (photo.counts for photo in photos))
    best = counts.best() if cracked else None
    own_best = [photo.counts.at(photo.counts.best()) for photo in cracked]
    union = sum(photo.union_pixels for photo in photos)
    return Summary(
        average_precision=_mean([photo.average_precision for photo in cracked]),
        precision=_mean([photo.precision for photo in cracked]),
        recall=_mean([photo.recall for photo in cracked]),
        f1=_mean([photo.f1 for photo in cracked]),
        iou=_mean([photo.iou for photo in cracked]),
        ods=None if best is None else float(counts.f1[best]),
        ods_threshold=None if best is None else float(counts.thresholds[best]),
        ois=_mean([photo.best_f1 for photo in cracked]),
        threshold=threshold,
        threshold_from=threshold_from,
        tolerance=tolerance,
        thin=thin,
        tta=tta,
        photos_with_crack=len(cracked),
        photos_without_crack=len(photos) - len(cracked),
        false_alarm_rate_without_crack=_mean(
            [photo.false_alarm_rate for photo in photos if photo.crack_pixels == 0]
        ),
        pooled_precision=precision,
        pooled_recall=recall,
        pooled_f1=f1,
        pooled_iou=sum(photo.overlap_pixels for photo in photos) / union if cracked else None,
        pooled_ois=float(reduce(add, own_best).f1[0]) if cracked else None,
        pooled_average_precision=counts.average_precision() if cracked else None,
        photos=list(photos),
        counts=counts,
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
