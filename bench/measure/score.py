"""Measured cracks against the truth, and beside it what others measure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from minispiral.data.crack import Crack
from minispiral.measurement.curves import Floats, along, length, resampled, smoothed
from minispiral.measurement.light import Light
from minispiral.measurement.profiles import offsets_of, profiles_along
from minispiral.measurement.records import MeasuredCrack, Measurement
from minispiral.measurement.settings import Settings
from minispiral.measurement.wide import half_depth

BESIDE = 3.0  # px: a place farther from every true crack is a false alarm
LEAST = 60.0  # px: shorter branches have no mean of their own


@dataclass(frozen=True)
class Truth:
    """Points ``STEP`` px apart on all true cracks, and their widths."""

    STEP: ClassVar[float] = 0.25

    points: Floats
    widths: Floats

    @classmethod
    def of(cls, cracks: Sequence[Crack]) -> "Truth":
        points, widths = [np.zeros((0, 2))], [np.zeros(0)]
        for crack in cracks:
            distance = along(crack.points)
            at = np.arange(0, distance[-1], cls.STEP)
            columns = (*crack.points.T, crack.widths)
            dense = np.stack([np.interp(at, distance, column) for column in columns], axis=1)
            points.append(dense[:, :2])
            widths.append(dense[:, 2])
        return cls(np.concatenate(points), np.concatenate(widths))

    def along(self, crack: MeasuredCrack, window: float) -> tuple[Floats, Floats]:
        """For each place the mean true width over its window, and how far the truth is, px."""
        from scipy.spatial import cKDTree

        far, which = cKDTree(self.points).query(crack.points)
        distance, widths = along(crack.points), self.widths[which]
        near = np.abs(crack.places.at[:, None] - distance) <= window / 2
        count = np.maximum(1, near.sum(axis=1))
        return (near @ widths) / count, (near @ far) / count


@dataclass(frozen=True)
class Scores:
    """Of ``m`` places: truth, distance from it, what was measured, and by the rivals, px.

    ``branches`` (b, 3, 4): of the mean, p95 and maximum of each long branch the truth, the value
    and both ends of its interval. ``length``: measured, true, and true after smoothing by 2.5 px.
    """

    true: Floats
    far: Floats
    value: Floats
    low: Floats
    high: Floats
    counted: NDArray[np.bool_]
    distance_transform: Floats
    half_depth: Floats
    branches: Floats
    length: Floats


def scores(
    photo: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    cracks: Sequence[Crack],
    found: Measurement,
    settings: Settings,
) -> Scores:
    """Of one photograph; ``mask`` is what a rival counts pixels of."""
    from scipy.ndimage import distance_transform_edt, maximum_filter

    truth = Truth.of(cracks)
    light = Light(photo, found.transfer)
    doubled = 2 * maximum_filter(distance_transform_edt(mask), 3)
    rows, branches = [np.zeros((0, 8))], [np.zeros((0, 3, 4))]
    for crack in found.cracks if len(truth.points) else ():
        places = crack.places
        true, far = truth.along(crack, settings.window)
        profiles = profiles_along(light, [crack.points], settings)
        column, line = np.floor(places.points).astype(int).T
        line, column = line.clip(0, len(mask) - 1), column.clip(0, mask.shape[1] - 1)
        rows.append(
            np.stack(
                [
                    true,
                    far,
                    places.width,
                    places.low,
                    places.high,
                    places.counted,
                    doubled[line, column],
                    half_depth(profiles.values, offsets_of(settings)),
                ],
                axis=1,
            )
        )
        on = places.counted & (far < BESIDE)
        if crack.length >= LEAST and on.sum() >= 0.8 * max(1, places.counted.sum()):
            of = true[on]
            wanted = (of.mean(), np.quantile(of, 0.95), of.max())
            told = (crack.mean, crack.p95, crack.maximum)
            branches.append(
                np.array([[[t, e.value, e.low, e.high] for t, e in zip(wanted, told, strict=True)]])
            )
    table = np.concatenate(rows).T
    lengths = [
        sum(crack.length for crack in found.cracks),
        sum(length(crack.points) for crack in cracks),
        sum(length(smoothed(resampled(crack.points), 2.5)) for crack in cracks),
    ]
    true, far, value, low, high, counted, by_pixels, by_depth = table
    return Scores(
        true,
        far,
        value,
        low,
        high,
        counted > 0,
        by_pixels,
        by_depth,
        np.concatenate(branches),
        np.array([lengths]),
    )


def gathered(parts: Sequence[Scores]) -> Scores:
    names = Scores.__dataclass_fields__
    return Scores(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def errors(of: Scores, low: float = 0.0, high: float = np.inf) -> dict[str, float]:
    """Of the places that count, beside a crack whose true width is ``low`` to ``high`` px."""
    there = (of.far < BESIDE) & (of.true >= low) & (of.true < high)
    good = there & of.counted
    if not good.any():
        return {"places": 0, "counted": 0.0}
    error = of.value[good] - of.true[good]
    inside = (of.low <= of.true) & (of.true <= of.high)
    return {
        "places": int(good.sum()),
        "counted": float(good.sum() / there.sum()),
        "bias": float(error.mean()),
        "rmse": rms(error),
        "inside": float(inside[good].mean()),
        "half_interval": float((of.high - of.low)[good].mean() / 2),
        "distance_transform_rmse": rms(of.distance_transform[good] - of.true[good]),
        "half_depth_rmse": rms(of.half_depth[good] - of.true[good]),
    }


def branch_errors(of: Scores) -> dict[str, dict[str, float]]:
    """Of the mean, p95 and maximum of long branches."""
    found = {}
    for k, name in enumerate(("mean", "p95", "maximum")):
        true, value, low, high = of.branches[:, k].T
        known = np.isfinite(value)
        true, value, low, high = (column[known] for column in (true, value, low, high))
        if len(true):
            found[name] = {
                "branches": len(true),
                "bias": float((value - true).mean()),
                "rmse": rms(value - true),
                "inside": float(((low <= true) & (true <= high)).mean()),
            }
    return found


def rms(values: Floats) -> float:
    return float(np.sqrt((values**2).mean()))
