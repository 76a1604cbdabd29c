"""Cracks wider than the model: the width at half depth, which blur does not change there."""

import numpy as np
from numpy.typing import NDArray

from minispiral.measurement.curves import Floats, along
from minispiral.measurement.light import Light
from minispiral.measurement.profiles import Profiles
from minispiral.measurement.settings import Settings

Indices = NDArray[np.intp]

REACH = 4.0  # times the usual profile's
STEP = 0.5  # px, between the samples
UNEVEN = 0.15  # greatest difference of the light on both sides, as a share


def half_depth(values: Floats, offsets: Floats) -> Floats:
    """The distance between the two places where half of the light is lost, px, (m,).

    Each is interpolated between two samples. Where a side stays dark, up to the profile's end.
    """
    middle = len(offsets) // 2
    low = middle - 4 + values[:, middle - 4 : middle + 5].argmin(axis=1)
    floor = values[np.arange(len(values)), low]
    wall = np.median(values[:, np.abs(offsets) > 0.8 * offsets[-1]], axis=1)
    half = (floor + wall) / 2
    bright = values > half[:, None]
    column = np.arange(len(offsets))
    left = np.where(bright & (column < low[:, None]), column, -1).max(axis=1)
    right = np.where(bright & (column > low[:, None]), column, len(offsets)).min(axis=1)
    shares = _share(values, half, left + 1, left) + _share(values, half, right - 1, right)
    return np.asarray((right - left - 2 + shares) * (offsets[1] - offsets[0]))


def _share(values: Floats, half: Floats, dark: Indices, bright: Indices) -> Floats:
    """How far ``half`` lies from the dark sample on the way to the bright one, 0 to 1."""
    rows, last = np.arange(len(values)), values.shape[1] - 1
    low, high = values[rows, dark.clip(0, last)], values[rows, bright.clip(0, last)]
    rise = np.where(high > low, high - low, 1.0)
    return np.asarray(np.clip((half - low) / rise, 0, 1))


def wide_widths(
    light: Light, lines: list[Floats], profiles: Profiles, settings: Settings
) -> Floats:
    """Widths (m,) at half depth, from the median of profiles four times as long as usual.

    Both edges of a crack wider than its blur lie where half of the light between floor and wall is
    lost, whatever the blur; each is interpolated between two samples. Floor and wall are medians,
    2 px and more away from the edges that were found with a first guess of them. NaN where the
    profile does not rise on both sides, or rises to walls of different light: the edge of a shadow
    or a joint between two tones.
    """
    reach = REACH * settings.reach
    count = round(reach / STEP)
    offsets = STEP * np.arange(-count, count + 1.0)
    out = np.full(len(profiles), np.nan)
    for k in np.unique(profiles.line):
        here = np.flatnonzero(profiles.line == k)
        distance = along(lines[k])
        rows = light.across(lines[k], offsets)
        for i in here:
            near = np.abs(distance - profiles.at[i]) <= settings.window / 2
            out[i] = _between_edges(np.median(rows[near], axis=0), offsets)
    return out


def _between_edges(profile: Floats, offsets: Floats) -> float:
    middle = len(profile) // 2
    near = slice(middle - 6, middle + 7)
    low = middle - 6 + int(profile[near].argmin())
    floor = float(profile[low])
    left = right = float(np.median(profile))
    edges = (float("nan"), float("nan"))
    for _ in range(3):
        edges = (
            _edge(profile[low::-1], (floor + left) / 2, offsets[low], -STEP),
            _edge(profile[low:], (floor + right) / 2, offsets[low], STEP),
        )
        if not np.isfinite(edges).all():
            break
        within = (offsets > edges[0] + 2) & (offsets < edges[1] - 2)
        floor = float(np.median(profile[within])) if within.any() else floor
        beyond = (offsets < edges[0] - 2) & (offsets > edges[0] - 16)
        left = float(np.median(profile[beyond])) if beyond.any() else left
        beyond = (offsets > edges[1] + 2) & (offsets < edges[1] + 16)
        right = float(np.median(profile[beyond])) if beyond.any() else right
    if abs(left - right) > UNEVEN * (left + right) / 2:
        return float("nan")
    return edges[1] - edges[0]


def _edge(side: Floats, level: float, start: float, step: float) -> float:
    """Where the profile first rises above ``level`` on the way out from the darkest sample."""
    above = np.flatnonzero(side > level)
    if not len(above) or above[0] == 0:
        return float("nan")
    j = int(above[0])
    share = float((level - side[j - 1]) / (side[j] - side[j - 1]))
    return start + step * (j - 1 + share)
