"""From chains of pixels to centre lines: the darkest path near a line, to a fraction of a pixel."""

import numpy as np
from numpy.typing import NDArray

from minispiral.measurement.curves import Floats, normals, resampled, smoothed
from minispiral.measurement.light import Light
from minispiral.measurement.settings import Settings

STEP = 0.5  # px, between the places across the line that the path may take
MARGIN = 6.0  # px beyond them: where the light of the wall is read
ACROSS = 0.8  # px, standard deviation of the smoothing across
# Of each search: reach (at first that of the settings), smoothing along before, of the line after,
# all in px. Weaker smoothing follows the noise of narrow cracks; stronger cuts the corners of rough
# ones, whose length then comes out 0.5 % shorter.
SEARCHES = ((0.0, 1.0, 1.0), (1.5, 0.7, 0.6))
STIFFNESS = 0.5  # of the noise across, for a step to the side


def refined(light: Light, chain: Floats, settings: Settings) -> Floats:
    """The centre line, points 1 px apart, of the crack near a ``chain`` of pixels.

    The chain is smoothed; then twice, from a wide and from a narrow search, the darkest path along
    it is found, moved to the minimum of the parabola through its three darkest samples, and
    smoothed a little: by the time the second search begins, the normals are those of the crack.
    """
    points = resampled(smoothed(chain, settings.smooth))
    if len(points) < 5:
        return points
    for reach, along, smooth in SEARCHES:
        search = reach or settings.search
        places = round(search / STEP)
        margin = round(MARGIN / STEP)
        offsets: Floats = STEP * np.arange(-places - margin, places + margin + 1.0)
        values = light.across(points, offsets)
        wall = np.median(values, axis=1, keepdims=True)
        values = values / np.maximum(smoothed(wall, 5.0), 1e-3)
        values = smoothed(smoothed(values, along).T, ACROSS / STEP).T
        inner = values[:, margin:-margin]
        noise = float(np.median(np.abs(inner - np.median(inner, axis=1, keepdims=True)))) + 1e-3
        tie = 0.002 * (offsets[margin:-margin] / search) ** 2  # where all is alike: the middle
        column = darkest_path(inner + tie, STIFFNESS * noise) + margin
        offset = offsets[column] + STEP * _vertex(values, column)
        points = points + normals(points) * offset[:, None]
        points = resampled(smoothed(points, smooth))
    return points


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


def _vertex(values: Floats, columns: NDArray[np.intp]) -> Floats:
    """Where, in samples from ``columns``, the parabola through three samples is lowest."""
    rows = np.arange(len(values))
    a, b, c = (values[rows, columns + k] for k in (-1, 0, 1))
    bend = a - 2 * b + c
    shift = np.where(bend > 1e-6, 0.5 * (a - c) / np.maximum(bend, 1e-6), 0.0)
    return np.clip(shift, -0.75, 0.75)
