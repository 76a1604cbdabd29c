"""From a probability map to the lines of its cracks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minispiral.data.thinning import thin
from minispiral.measurement import graph, strokes
from minispiral.measurement.curves import along, heading, smoothed
from minispiral.measurement.settings import Settings
from minispiral.measurement.strokes import Stroke

MEETS = 8.0  # px: an end as near as this to another line of its crack ends there
CELL = 256  # px; most cells of a photograph hold no crack and are passed over


@dataclass(frozen=True)
class Detected:
    """``shown`` (h, w): crack at the lower threshold; ``sure``: at the upper one."""

    shown: NDArray[np.bool_]
    sure: NDArray[np.bool_]


def detected(probability: NDArray[np.generic], settings: Settings) -> Detected:
    """Both masks of a map: 0 to 1, or 0 to 255 in bytes, or a boolean mask, which is taken as is.

    The map is blurred by a Gaussian of ``soften`` px first.
    """
    if probability.dtype == np.bool_:
        mask = probability.astype(bool, copy=False)
        return Detected(mask, mask)
    from scipy.ndimage import gaussian_filter

    whole = 255.0 if probability.dtype == np.uint8 else 1.0
    height, width = probability.shape
    shown, sure = np.zeros((2, height, width), bool)
    margin = int(np.ceil(4 * settings.soften))
    for top in range(0, height, CELL):
        for left in range(0, width, CELL):
            y, x = max(0, top - margin), max(0, left - margin)
            part = probability[y : top + CELL + margin, x : left + CELL + margin]
            if float(part.max()) < settings.low / 2 * whole:
                continue
            soft = gaussian_filter(part.astype(np.float32), settings.soften, mode="nearest") / whole
            soft = soft[top - y : top - y + CELL, left - x : left - x + CELL]
            shown[top : top + CELL, left : left + CELL] = soft >= settings.low
            sure[top : top + CELL, left : left + CELL] = soft >= settings.threshold
    return Detected(shown, sure)


def lines(found: Detected, settings: Settings) -> list[Stroke]:
    """The strokes of all cracks that are long enough, and sure on a third of the least length.

    What was bridged does not count.
    """
    edges = graph.cleaned(graph.traced(thin(found.shown, west_first=True)), found.sure, settings)
    candidates = strokes.joined(edges, settings)
    total: dict[int, float] = {}
    certain: dict[int, int] = {}
    for stroke in candidates:
        cols, rows = np.floor(stroke.points).astype(int).T
        total[stroke.crack] = total.get(stroke.crack, 0.0) + stroke.length - stroke.bridged
        certain[stroke.crack] = certain.get(stroke.crack, 0) + int(found.sure[rows, cols].sum())
    kept = [
        stroke
        for stroke in candidates
        if total[stroke.crack] >= settings.shortest
        and certain[stroke.crack] >= settings.shortest / 3
    ]
    if not kept:
        return []
    from scipy.spatial import cKDTree

    tree = cKDTree(np.concatenate([stroke.points for stroke in kept]))
    owner = np.repeat(np.arange(len(kept)), [len(stroke.points) for stroke in kept])
    crack = np.array([stroke.crack for stroke in kept])

    place = np.concatenate([along(stroke.points) for stroke in kept])

    def met(k: int, end: int) -> bool:
        """Another line of the crack, or a part of the same line that is farther along it."""
        tip = kept[k].points[end]
        near = np.array(tree.query_ball_point(tip, MEETS))
        at = 0.0 if end == 0 else kept[k].length
        apart = (owner[near] != k) | (np.abs(place[near] - at) > 3 * MEETS)
        return bool((apart & (crack[owner[near]] == crack[k])).any())

    return [
        _lengthened(stroke, [met(k, end) for end in (0, -1)], found.shown)
        for k, stroke in enumerate(kept)
    ]


def _lengthened(stroke: Stroke, met: list[bool], mask: NDArray[np.bool_]) -> Stroke:
    """Thinning eats the ends of lines: let free ends go on to the mask's end, less half its width.

    Within 12 px; ends that have ``met`` another line of the crack, or their own, stay.
    """
    half, farthest = 1.5, 12.0  # px: traces are about 3 px wide
    if len(stroke.points) < 8:
        return stroke
    height, width = mask.shape
    line = smoothed(stroke.points, 2.0)
    points = stroke.points
    for end in (0, 1):
        tip = stroke.points[0 if end == 0 else -1]
        if met[end]:
            continue
        way = heading(line, end, 12)
        steps = np.arange(0.5, farthest, 0.25)
        x, y = (tip + steps[:, None] * way).T
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        on = inside.copy()
        on[inside] = mask[y[inside].astype(int), x[inside].astype(int)]
        last = int(np.argmin(on)) if not on.all() else len(steps) - 1
        far = steps[last] - (half if inside[last] else 0.25)
        if far > 0.5:
            more = (tip + far * way)[None]
            points = np.concatenate([more, points] if end == 0 else [points, more])
    return Stroke(points, stroke.crack, stroke.bridges)
