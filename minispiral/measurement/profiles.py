"""Mean profiles of light across the cracks, and across the wall where no crack is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minispiral.measurement.curves import Floats, along, normals, smoothed
from minispiral.measurement.light import Light
from minispiral.measurement.settings import Settings

COARSE = 16  # px, the cells of the map of where no crack is
WANTED = 400  # windows without a crack, enough for the texture's covariance
LEAST = 40  # fewer tell nothing of it


@dataclass(frozen=True)
class Profiles:
    """Mean profiles of ``m`` windows along lines, the wall's light near 1.

    ``values`` (m, offsets). ``line`` (m,): the number of the line. ``at`` (m,): distance along it,
    px. ``points`` (m, 2): the middle of the window. ``border`` (m,): its least distance from the
    photograph's border, px. ``alike`` (m,): 1 where all profiles of a window meet the pixels in the
    same way, as along a line parallel to them; 0 where in all ways.
    """

    values: Floats
    line: NDArray[np.intp]
    at: Floats
    points: Floats
    border: Floats
    alike: Floats

    def __len__(self) -> int:
        return len(self.line)

    def part(self, chosen: NDArray[np.generic]) -> "Profiles":
        return Profiles(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def offsets_of(settings: Settings) -> Floats:
    """Distances from the centre line at which a profile is sampled, px."""
    count = round(settings.reach / settings.step)
    return np.asarray(settings.step * np.arange(-count, count + 1), np.float64)


def profiles_along(light: Light, lines: list[Floats], settings: Settings) -> Profiles:
    """The profiles of all windows of ``lines``, each (n, 2) with points 1 px apart.

    Each profile is divided by the median light of the wall beside it; of the ``window`` profiles
    the mean is taken without the sixth that is darkest and the sixth that is brightest, sample by
    sample, which removes stones and pores that one profile meets.
    """
    offsets = offsets_of(settings)
    wall = np.abs(offsets) > 0.6 * settings.reach
    window, cut = settings.window, settings.window // 6
    parts = [_none(len(offsets))]
    for k, points in enumerate(lines):
        if len(points) < window:
            continue
        rows = light.across(points, offsets)
        level = np.median(rows[:, wall], axis=1)
        rows /= np.maximum(smoothed(level, window / 2), 1e-3)[:, None]
        starts = np.arange(0, len(points) - window + 1, settings.hop)
        index = starts[:, None] + np.arange(window)  # (windows, profiles)
        kept = np.sort(rows[index], axis=1)[:, cut : window - cut]
        x, y = points.T
        border = np.minimum.reduce([x, y, light.width - x, light.height - y])
        ways = np.abs(normals(points))
        phase = np.exp(2j * np.pi * np.where(ways[:, 0] > ways[:, 1], x, y))
        parts.append(
            Profiles(
                kept.mean(axis=1),
                np.full(len(starts), k),
                along(points)[index].mean(axis=1),
                points[index[:, window // 2]],
                border[index].min(axis=1),
                np.abs(phase[index].mean(axis=1)),
            )
        )
    names = Profiles.__dataclass_fields__
    return Profiles(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _none(offsets: int) -> Profiles:
    return Profiles(
        np.zeros((0, offsets)),
        np.zeros(0, np.intp),
        np.zeros(0),
        np.zeros((0, 2)),
        np.zeros(0),
        np.zeros(0),
    )


def empty_profiles(
    light: Light, lines: list[Floats], shown: NDArray[np.bool_], settings: Settings
) -> Floats:
    """Profiles (m, offsets) of windows where no crack is: the same lines moved elsewhere.

    The texture that disturbs the widths is so seen through the same sampling, along lines of the
    same shape. Fewer than `LEAST` where the photograph has no room.
    """
    rng = np.random.default_rng(0)
    taken = _taken(shown)
    moved: list[Floats] = []
    missing = WANTED * settings.hop
    for _ in range(60 if lines else 0):
        points = lines[rng.integers(len(lines))]
        if len(points) > 200:
            start = rng.integers(len(points) - 200)
            points = points[start : start + 200]
        low = settings.reach + 2 - points.min(axis=0)
        high = np.array([light.width, light.height]) - settings.reach - 2 - points.max(axis=0)
        if (high <= low).any():
            continue
        points = points + rng.uniform(low, high)
        cols, rows = np.floor(points / COARSE).astype(int).T
        free = np.flatnonzero(~taken[rows, cols])
        runs = np.split(free, np.flatnonzero(np.diff(free) > 1) + 1)
        longest = max(runs, key=len)
        if len(longest) >= 2 * settings.window:
            moved.append(points[longest])
            missing -= len(longest)
        if missing <= 0:
            break
    return profiles_along(light, moved, settings).values


def _taken(shown: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cells of `COARSE` px with a crack in them or in the cell beside."""
    height, width = shown.shape
    taken = np.zeros((-(-height // COARSE) + 2, -(-width // COARSE) + 2), bool)
    rows, cols = (axis // COARSE for axis in np.nonzero(shown))
    for down in (0, 1, 2):
        for right in (0, 1, 2):
            taken[rows + down, cols + right] = True
    return taken[1:-1, 1:-1]


def texture_covariance(empty: Floats) -> Floats:
    """The covariance (offsets, offsets) of profiles without a crack.

    The tenth of greatest energy (pores, joints) is left out and the rest scaled to match; half of
    what is left is replaced by its mean over equal distances, since texture is the same all along
    a profile. With too few profiles, 2 % of the light with a correlation length of 3 samples.
    """
    n = empty.shape[1]
    distance = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    if len(empty) < LEAST:
        return 0.02**2 * np.exp(-distance / 3) + 1e-6 * np.eye(n)
    centred = empty - np.median(empty, axis=0)
    energy = (centred**2).mean(axis=1)
    kept = centred[energy <= np.quantile(energy, 0.9)]
    found = kept.T @ kept / len(kept)
    even = np.bincount(distance.ravel(), found.ravel()) / np.bincount(distance.ravel())
    found = 1.15 * (found + even[distance]) / 2
    values, vectors = np.linalg.eigh(found)  # the mean over distances may have negative ones
    return np.asarray((vectors * (values.clip(0) + 0.02 * values.mean())) @ vectors.T)


def wall_of(values: Floats, offsets: Floats) -> Floats:
    """The light (m,) of the wall on both sides of profiles: the median of their outer parts."""
    return np.asarray(np.median(values[:, np.abs(offsets) > 0.6 * offsets[-1]], axis=1))


def depth_of(values: Floats, offsets: Floats) -> float:
    """The median share of light that is lost at the darkest sample of the profiles."""
    if not len(values):
        return 0.0
    return max(0.0, float(np.median(wall_of(values, offsets) - values.min(axis=1))))
