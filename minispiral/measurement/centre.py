"""From chains of pixels to centre lines, to a fraction of a pixel.

First the darkest path near the chain. Then the whole profile across tells more than its darkest
sample: it is compared with the mean profile around, and the line moved by its shift, so that both
flanks of a crack count and the line lies in the middle of a floor too. What shifts a wall without a
crack would feign is read beside the crack; so much is taken from the line's wiggles.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from minispiral.measurement.curves import Floats, normals, resampled, smoothed
from minispiral.measurement.light import Light
from minispiral.measurement.settings import Settings

STEP = 0.5  # px, between the samples of a profile
MARGIN = 6.0  # px beyond a crack or the path's reach: where the light of the wall is read
STIFFNESS = 0.5  # of the noise across, for a step of the darkest path to the side
ACROSS = 0.8  # px, standard deviation of the smoothing across; a quarter of a wide crack's width
AROUND = 10.0  # px along the line, standard deviation: places so near have one profile
FARTHEST = 1.5  # px, of a shift
COARSE = 1.5  # px, standard deviation of the line's smoothing before shifts are read anew
SCALES = (0.7, 1.4, 2.8)  # px, standard deviations: bands of wiggles lie between them
ABOVE = 1.2  # times the square of its middle frequency: where most of a band's direction is
SHARPEST = 3.0  # times: a band is enlarged no more
WIDEST = 16.0  # px


def refined(light: Light, chain: Floats, settings: Settings) -> Floats:
    """The centre line, points about 1 px apart, of the crack near a ``chain`` of pixels."""
    points = resampled(smoothed(chain, settings.smooth))
    if len(points) < 5:
        return points
    points, width = _darkest(light, points, settings.search)
    shifts = _shifts(light, points, width, wall=False)
    points = resampled(smoothed(points + normals(points) * shifts.found[:, None], COARSE))
    return _without_noise(points, _shifts(light, points, width, wall=True))


def _darkest(light: Light, points: Floats, search: float) -> tuple[Floats, float]:
    """The line moved onto the darkest path within ``search`` px of it, and about how wide it is.

    The darkest place of a wide floor may be anywhere on it; smoothed across by a quarter of the
    width it is in the middle.
    """
    offsets = _offsets(search + MARGIN)
    values = _profiles(light, points, offsets)
    width = _widths(_template(values), offsets)
    values = smoothed(values, 1.0)
    octave = np.clip(np.round(np.log2(width / (4 * ACROSS))), 0, 2)
    for each in np.unique(octave):
        here = octave == each
        values[here] = smoothed(values[here].T, ACROSS * 2**each / STEP).T
    places = np.abs(offsets) <= search
    values, offsets = values[:, places], offsets[places]
    noise = float(np.median(np.abs(values - np.median(values, axis=1, keepdims=True)))) + 1e-3
    tie = 0.002 * (offsets / search) ** 2  # where all is alike: the middle
    shift = offsets[darkest_path(values + tie, STIFFNESS * noise)]
    moved = points + normals(points) * shift[:, None]
    return resampled(smoothed(moved, 1.0)), float(np.quantile(width, 0.9))


@dataclass(frozen=True)
class Shifts:
    """Of the profiles at the n places of a line, px; what is read ``beside`` a crack is noise.

    ``found`` (n,), ``beside`` (n, 2): of the crack, and of the wall on either side; none unless
    asked for. ``blur`` (n,): the standard deviation of a Gaussian as deep and steep as the profile.
    """

    found: Floats
    beside: Floats
    blur: Floats


def _shifts(light: Light, points: Floats, width: float, wall: bool) -> Shifts:
    """How far the profile at each place of a line lies beside it, of a crack about ``width`` px.

    With g the mean profile around, symmetric, and g' its derivative, a profile shifted by d is
    g - d g' to first order, upon the light a + b x of the wall. Least squares gives
    d = -<phi, profile> / <phi, g'>, where phi is g' less its part along x; the even functions 1 and
    g are at right angles to it anyway.
    """
    half, away = MARGIN + 1.5 + width / 2, MARGIN + 4.0 + width
    offsets = _offsets(half)
    values = _profiles(light, points, offsets)
    profile = _template(values)
    slope = np.gradient(profile, STEP, axis=1)
    line = offsets / np.sqrt(offsets @ offsets)
    phi = slope - (slope @ line)[:, None] * line
    phi /= np.maximum((phi * slope).sum(axis=1), 1e-9)[:, None]

    def read(values: Floats) -> Floats:
        return np.asarray(np.clip(-(phi * values).sum(axis=1), -FARTHEST, FARTHEST))

    sides = (-away, away) if wall else ()
    beside = [read(_profiles(light, points, offsets + side)) for side in sides]
    steepest = np.maximum(np.abs(slope).max(axis=1), 1e-9)
    return Shifts(
        read(values),
        np.stack(beside, axis=1) if wall else np.zeros((len(points), 0)),
        _depths(profile, offsets).max(axis=1) / (steepest * np.sqrt(np.e)),
    )


def _without_noise(points: Floats, shifts: Shifts) -> Floats:
    """The shifted line, its wiggles as large as the crack's.

    In each band the mean square of the line's direction is that of the crack, seen through the
    blur, and that of the noise. The band is scaled by the root of the crack's share, and enlarged,
    where that share is large, by what the blur takes from a sine a little above its middle: the
    length is then neither what noise makes of it nor what blur leaves of it.
    """
    raw, noise, blur = points + normals(points) * shifts.found[:, None], shifts.beside, shifts.blur

    def around(energy: Floats) -> Floats:
        return smoothed(energy, 2.5 * AROUND)

    # Large shifts are larger than to first order: the line goes from one dark grain to the next.
    more = 1 + around((noise**2).mean(axis=1))
    out = smoothed(raw, SCALES[-1])
    for fine, coarse in pairwise(SCALES):
        band, feigned = (smoothed(each, fine) - smoothed(each, coarse) for each in (raw, noise))
        found = around((np.gradient(band, axis=0) ** 2).sum(axis=1))
        false = more * around((np.gradient(feigned, axis=0) ** 2).mean(axis=1))
        share = np.clip(1 - false / np.maximum(found, 1e-12), 0, 1)
        hidden = np.minimum(np.exp(ABOVE * 0.5 * blur**2 / (fine * coarse)), SHARPEST)
        out += (np.sqrt(share) * (1 + share * (hidden - 1)))[:, None] * band
    return out


def _offsets(half: float) -> Floats:
    count = round(half / STEP)
    return np.asarray(STEP * np.arange(-count, count + 1), np.float64)


def _profiles(light: Light, points: Floats, offsets: Floats) -> Floats:
    """Profiles (n, m) across the line, divided by the median light around."""
    values = light.across(points, offsets)
    wall = smoothed(np.median(values, axis=1), 5.0)
    return np.asarray(values / np.maximum(wall, 1e-3)[:, None])


def _template(values: Floats) -> Floats:
    """The mean profile around each place, made symmetric."""
    middle = values.shape[1] // 2
    half = smoothed((values + values[:, ::-1])[:, middle:] / 2, AROUND)
    return np.concatenate([half[:, :0:-1], half], axis=1)


def _depths(profile: Floats, offsets: Floats) -> Floats:
    """How much darker than the wall symmetric profiles (n, m) are from their middle outwards."""
    wall = np.median(profile[:, np.abs(offsets) > 0.75 * offsets[-1]], axis=1)
    return np.asarray(wall[:, None] - profile[:, len(offsets) // 2 :])


def _widths(profile: Floats, offsets: Floats) -> Floats:
    """How wide symmetric profiles (n, m) are at half depth, to about a pixel, (n,)."""
    depth = _depths(profile, offsets)
    dark = depth > depth[:, :5].max(axis=1, keepdims=True) / 2
    dark[:, -1] = False
    return np.asarray(np.clip(2 * STEP * dark.argmin(axis=1), STEP, WIDEST))


def darkest_path(cost: Floats, stiffness: float) -> NDArray[np.intp]:
    """The column in each row of the way through ``cost`` (rows, columns) that costs least.

    It costs the sum of the entries passed, and ``stiffness`` for each row in which the column
    changes, by at most 1. By dynamic programming (R. Bellman, 1957).
    """
    rows, columns = cost.shape
    back = np.zeros((rows, columns), np.int8)
    ways = np.full((3, columns + 2), np.inf)  # from the left, from above, from the right
    total = cost[0].copy()
    every = np.arange(columns)
    for r in range(1, rows):
        ways[0, 2:-1] = total[:-1] + stiffness
        ways[1, 1:-1] = total
        ways[2, 1:-2] = total[1:] + stiffness
        move = ways[:, 1:-1].argmin(axis=0)
        total = ways[move, every + 1] + cost[r]
        back[r] = move - 1
    path = np.zeros(rows, np.intp)
    path[-1] = int(np.argmin(total))
    for r in range(rows - 1, 0, -1):
        path[r - 1] = path[r] + back[r, path[r]]
    return path
