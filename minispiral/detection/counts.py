"""What is right and what is wrong at every threshold, counted in one pass over a map.

The thresholds are dense towards 0 and 1, where networks put most of their probabilities: 128
between ``2^-k`` and ``2^(1-k)``, up to 1/2, and their mirror images above. In the middle they are
1/512 apart. Each is a number that float32 holds exactly, so ``p >= t`` means the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.data.thinning import thin_layers
from minispiral.detection.neighbourhoods import around
from minispiral.kernels.cpu import parallel

_DROPPED = 16  # of the 23 bits behind the point of a float32: 2^7 thresholds for a power of two
_FIRST = int(np.float32(2**-17).view(np.int32)) >> _DROPPED
_HALF = (int(np.float32(0.5).view(np.int32)) >> _DROPPED) - _FIRST + 1  # the index of 1/2
_LAST = 2 * _HALF

_LOWER = (np.arange(_FIRST, _FIRST + _HALF, dtype=np.int32) << _DROPPED).view(np.float32)
THRESHOLDS = np.concatenate([[np.float32(0)], _LOWER, 1 - _LOWER[-2::-1], [np.float32(1)]])

# Thinned masks are made one by one, here as bits of two integers.
_LAYERS = 64
THIN_THRESHOLDS = np.arange(1, 2 * _LAYERS, dtype=np.float32) / np.float32(2 * _LAYERS)


@dataclass(frozen=True)
class Counts:
    """Pixels counted at each of ``thresholds``, which rise; those of several photographs add up.

    Of ``crack`` labelled pixels some are ``found``, of the ``detected`` ones some are ``correct``;
    without a tolerance these two are the same. Those of one photograph are int32, sums int64.
    """

    thresholds: NDArray[np.float32]
    crack: int
    found: NDArray[np.signedinteger[Any]]
    detected: NDArray[np.signedinteger[Any]]
    correct: NDArray[np.signedinteger[Any]]

    def __add__(self, other: Counts) -> Counts:
        found, detected, correct = (
            np.add(getattr(self, name), getattr(other, name), dtype=np.int64)
            for name in ("found", "detected", "correct")
        )
        return Counts(self.thresholds, self.crack + other.crack, found, detected, correct)

    @property
    def precision(self) -> NDArray[np.float64]:
        """Correct among detected; 0 where nothing is detected."""
        precision: NDArray[np.float64] = self.correct / np.maximum(self.detected, 1)
        return precision

    @property
    def recall(self) -> NDArray[np.float64]:
        """Found among labelled; there must be such pixels."""
        return self.found / self.crack

    @property
    def f1(self) -> NDArray[np.float64]:
        """``2 P R / (P + R)``; 0 where both are."""
        precision, recall = self.precision, self.recall
        both = precision + recall
        return 2 * precision * recall / np.where(both > 0, both, 1)

    def best(self) -> int:
        """Where F1 is largest: the index of the threshold, of several that nearest to 1/2."""
        f1 = self.f1
        tied = np.flatnonzero(f1 == f1.max())
        return int(tied[np.argmin(np.abs(self.thresholds[tied] - 0.5))])

    def at(self, index: int) -> Counts:
        """The counts at one threshold."""
        one = slice(index, index + 1)
        return Counts(
            self.thresholds[one],
            self.crack,
            self.found[one],
            self.detected[one],
            self.correct[one],
        )

    def average_precision(self) -> float:
        """``sum_k (R_k - R_(k-1)) P_k`` over the thresholds, from the highest to the lowest.

        Thinned maps may lose recall as the threshold falls; then the largest so far counts.
        """
        recall = np.maximum.accumulate(self.recall[::-1])
        gained = np.diff(recall, prepend=0)
        return float(np.sum(gained * self.precision[::-1]))


def count(
    probability: NDArray[np.float32],
    near: NDArray[np.bool_],
    highest: NDArray[np.float32] | None,
) -> Counts:
    """The counts of a map (h, w) at all `THRESHOLDS`.

    A detection is correct on a pixel of ``near`` (h, w). ``highest`` holds, for each labelled
    pixel, the highest probability near it, so that it is found at the thresholds up to that; None
    if only the pixel itself counts, and ``near`` are the labelled pixels.
    """

    def histograms(rows: slice) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        indices = _indices(probability[rows])
        return _histogram(indices), _histogram(indices[near[rows]])

    parts = parallel.run(histograms, parallel.row_tiles(*probability.shape))
    detected, correct = (_from(sum(kind)) for kind in zip(*parts, strict=True))
    if highest is None:
        return Counts(THRESHOLDS, int(correct[0]), correct, detected, correct)
    found = _from(_histogram(_indices(highest)))
    return Counts(THRESHOLDS, highest.size, found, detected, correct)


def count_thinned(
    probability: NDArray[np.float32],
    lines: NDArray[np.bool_],
    near: NDArray[np.bool_],
    tolerance: int,
) -> Counts:
    """The counts of a map (h, w) that is thinned at each of `THIN_THRESHOLDS`.

    ``lines`` are the thinned labels, of which a pixel is found within ``tolerance`` of a thinned
    detection; this is correct on a pixel of ``near``.
    """
    detected, correct, found = [], [], []
    for layers in _layers(probability):
        thinned = thin_layers(layers)
        detected.append(_bits(thinned[thinned != 0]))
        correct.append(_bits(thinned[near]))
        found.append(_bits(around(thinned, lines, tolerance, np.bitwise_or)))
    # The first layer is empty, so that each of the others has a bit.
    of_all = (np.concatenate(kind)[1:] for kind in (found, detected, correct))
    return Counts(THIN_THRESHOLDS, int(np.count_nonzero(lines)), *of_all)


def _indices(values: NDArray[np.float32]) -> NDArray[np.int32]:
    """For each value the index of the highest threshold that it reaches, the lowest if it is less.

    The bits of positive float32 numbers, read as integers, rise as the numbers do. Above 1/2 the
    distance to 1, which is exact, takes their place, and its bits are rounded up.
    """
    upper = values > 0.5
    rest = 1 - values
    indices = (np.where(upper, rest, values).view(np.int32) + upper * ((1 << _DROPPED) - 1)) >> (
        _DROPPED
    )
    indices -= _FIRST - 1
    np.maximum(indices, upper, out=indices)
    np.subtract(_LAST, indices, out=indices, where=upper)
    indices[rest <= 0] = _LAST
    return indices


def _histogram(indices: NDArray[np.int32]) -> NDArray[np.intp]:
    return np.bincount(indices.ravel(), minlength=len(THRESHOLDS))


def _from(histogram: Any) -> NDArray[np.int32]:
    """How many lie at each index and above."""
    return np.cumsum(histogram[::-1], dtype=np.int32)[::-1]


def _layers(probability: NDArray[np.float32]) -> Iterator[NDArray[np.uint64]]:
    """The map at `THIN_THRESHOLDS` after an empty layer: 64 masks as bits, and 64 more."""
    most = 2 * _LAYERS
    levels = np.clip(probability * np.float32(most), 0, most - 1).astype(np.uint8)
    bits = np.uint64(1) << np.arange(_LAYERS, dtype=np.uint64)
    for first in (0, _LAYERS):
        threshold = first + np.arange(_LAYERS)
        reached = (np.arange(most)[:, np.newaxis] >= threshold) & (threshold > 0)
        yield (reached * bits).sum(axis=1, dtype=np.uint64)[levels]


def _bits(words: NDArray[np.uint64]) -> NDArray[np.int32]:
    """How many of ``words`` have each of the 64 bits."""
    total = np.zeros(_LAYERS, np.int32)
    for part in parallel.slices(words.size, 1 << 16):
        octets = words[part].astype("<u8").view(np.uint8).reshape(-1, 8)
        total += np.unpackbits(octets, axis=1, bitorder="little").sum(axis=0, dtype=np.int32)
    return total
