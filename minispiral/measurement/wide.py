"""Cracks wider than the model: the width at half depth, which blur does not change there."""

import numpy as np

from minispiral.measurement.curves import Floats, along
from minispiral.measurement.light import Light
from minispiral.measurement.profiles import Profiles
from minispiral.measurement.settings import Settings

REACH = 4.0  # times the usual profile's
UNEVEN = 0.15  # greatest difference of the light on both sides, as a share


def half_depth(values: Floats, offsets: Floats) -> Floats:
    """The distance between the two places where half of the light is lost, to a sample, (m,)."""
    middle = len(offsets) // 2
    low = middle - 4 + values[:, middle - 4 : middle + 5].argmin(axis=1)
    floor = values[np.arange(len(values)), low]
    wall = np.median(values[:, np.abs(offsets) > 0.8 * offsets[-1]], axis=1)
    bright = values > (floor + wall)[:, None] / 2
    column = np.arange(len(offsets))
    left = np.where(bright & (column < low[:, None]), column, -1).max(axis=1)
    right = np.where(bright & (column > low[:, None]), column, len(offsets)).min(axis=1)
    return np.asarray((right - left - 1) * (offsets[1] - offsets[0]))


def wide_widths(
    light: Light, lines: list[Floats], profiles: Profiles, settings: Settings
) -> Floats:
    """Widths (m,) at half depth, from the median of profiles four times as long, 1 px a sample.

    Both edges of a crack wider than its blur lie where half of the light between floor and wall is
    lost, whatever the blur; each is interpolated between two samples. NaN where the profile does
    not rise on both sides, or rises to walls of different light: the edge of a shadow or a joint
    between two tones.
    """
    reach = REACH * settings.reach
    offsets = np.arange(-reach, reach + 0.5, 1.0)
    out = np.full(len(profiles), np.nan)
    for k in np.unique(profiles.line):
        here = np.flatnonzero(profiles.line == k)
        distance = along(lines[k])
        rows = light.across(lines[k], offsets)
        for i in here:
            near = np.abs(distance - profiles.at[i]) <= settings.window / 2
            out[i] = _between_edges(np.median(rows[near], axis=0))
    return out


def _between_edges(profile: Floats) -> float:
    middle = len(profile) // 2
    low = middle - 3 + int(profile[middle - 3 : middle + 4].argmin())
    floor = float(np.median(profile[low - 2 : low + 3]))
    sides = (profile[low::-1], profile[low:])
    walls = [float(np.quantile(side, 0.75)) for side in sides]
    if abs(walls[0] - walls[1]) > UNEVEN * sum(walls) / 2:
        return float("nan")
    width = 0.0
    for side, wall in zip(sides, walls, strict=True):
        level = (floor + wall) / 2
        above = np.flatnonzero(side > level)
        if not len(above) or above[0] == 0:
            return float("nan")
        j = int(above[0])
        width += j - float((side[j] - level) / (side[j] - side[j - 1]))
    return width
