"""Shapes to pixels, exactly: a pixel is set where its centre lies inside.

A centre on the border counts on the left and upper side of a shape, not on the right and lower one,
so that shapes side by side share no pixel, and a line 3 px wide between two rows has 3.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from minispiral.data.labels.shapes import Line, Points, Runs, Shape

Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]
Steps = tuple[Indices, Indices, NDArray[np.int32]]  # rows, columns, changes from there to the right

MOST_PIXELS = 2**22  # of a band, in which a shape is filled at once
MOST_CROSSINGS = 2**20  # of edges and rows, at once


def draw(shape: Shape, canvas: Mask, line_width: float) -> bool:
    """Set the pixels of ``shape`` on ``canvas`` (h, w); whether there are any."""
    if isinstance(shape, Runs):
        return _paste(shape, canvas)
    if isinstance(shape, Line):
        return any([_stroke(points, canvas, line_width) for points in shape.polylines])
    return any([_fill(polygon, canvas) for polygon in shape.polygons])


def reach(shape: Shape) -> tuple[Points, Points]:
    """The smallest and the largest x, y of a shape that has points."""
    if isinstance(shape, Runs):
        corner = np.array(shape.corner, np.float64)
        return corner, corner + shape.size
    parts = shape.polylines if isinstance(shape, Line) else [p[0] for p in shape.polygons]
    points = np.concatenate(list(parts))
    return points.min(axis=0), points.max(axis=0)


def _fill(rings: Sequence[Points], canvas: Mask) -> bool:
    """Fill the first ring by the even-odd rule, but for the inside of the others."""
    found = False
    for rows, columns in _bands(rings[0].min(axis=0), rings[0].max(axis=0), canvas):
        inside = [
            _sums([_crossings(ring, np.roll(ring, -1, axis=0), rows)], rows, columns) & 1 != 0
            for ring in rings
        ]
        drawn = inside[0]
        for hole in inside[1:]:
            drawn &= ~hole
        canvas[rows, columns] |= drawn
        found = found or bool(drawn.any())
    return found


def _stroke(points: Points, canvas: Mask, line_width: float) -> bool:
    """Draw with a round brush: what is within half of ``line_width`` from the line."""
    radius = line_width / 2
    begin, end = points[:-1], points[1:]
    along = end - begin
    length = np.hypot(*along.T)
    begin, end, along = (part[length > 0] for part in (begin, end, along))
    across = radius * along[:, ::-1] * (-1, 1) / length[length > 0, None]
    # The corners of all segments turn the same way, by which the winding number inside is 1.
    corners = [begin - across, begin + across, end + across, end - across]
    found = False
    for rows, columns in _bands(points.min(axis=0) - radius, points.max(axis=0) + radius, canvas):
        steps = [_crossings(corners[k], corners[(k + 1) % 4], rows) for k in range(4)]
        drawn = _sums([*steps, _discs(points, radius, rows)], rows, columns) != 0
        canvas[rows, columns] |= drawn
        found = found or bool(drawn.any())
    return found


def _paste(runs: Runs, canvas: Mask) -> bool:
    """Set the pixels of every second run."""
    width, height = runs.size
    ends = np.cumsum(runs.lengths)
    changes = np.zeros(width * height + 1, np.int8)
    np.add.at(changes, ends[0::2], 1)  # where background ends, crack begins
    np.add.at(changes, ends[1::2], -1)
    flat = np.cumsum(changes[:-1], dtype=np.int8) != 0
    drawn = flat.reshape(height, width) if runs.by_rows else flat.reshape(width, height).T
    (x, y), (rows, columns) = runs.corner, canvas.shape
    drawn = drawn[max(0, -y) : max(0, rows - y), max(0, -x) : max(0, columns - x)]
    canvas[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)] |= drawn
    return bool(drawn.any())


def _bands(low: Points, high: Points, canvas: Mask) -> list[tuple[slice, slice]]:
    """The part of the canvas between two corners, in bands of rows that memory allows."""
    height, width = canvas.shape
    left, top = np.clip(np.floor(low), 0, (width, height)).astype(np.intp).tolist()
    right, bottom = np.clip(np.ceil(high), 0, (width, height)).astype(np.intp).tolist()
    if left >= right:
        return []
    step = max(1, MOST_PIXELS // (right - left))
    return [
        (slice(row, min(row + step, bottom)), slice(left, right))
        for row in range(top, bottom, step)
    ]


def _crossings(begin: Points, end: Points, rows: slice) -> Steps:
    """Where edges cross the rows: the first column whose centre is not left of the crossing.

    Downward edges change the winding number to the right of them by 1, upward ones by -1.
    """
    found = [
        _few_crossings(begin[some], end[some], rows)
        for some in _parts(*_rows_between(begin[:, 1], end[:, 1], rows))
    ]
    return _joined(found)


def _few_crossings(begin: Points, end: Points, rows: slice) -> Steps:
    first, last = _rows_between(begin[:, 1], end[:, 1], rows)
    edge, row = _spread(first, last)
    down = (end[:, 1] > begin[:, 1])[edge]
    (x0, y0), (x1, y1) = (  # from the upper end, so that an edge lies in one place for both sides
        np.where(down, one[edge].T, other[edge].T) for one, other in ((begin, end), (end, begin))
    )
    x = x0 + (row + 0.5 - y0) / (y1 - y0) * (x1 - x0)
    return row, np.ceil(x - 0.5).astype(np.intp), np.where(down, 1, -1).astype(np.int32)


def _discs(centres: Points, radius: float, rows: slice) -> Steps:
    """Where discs begin and end in the rows."""
    x, y = centres.T
    found = []
    for some in _parts(*_rows_between(y - radius, y + radius, rows)):
        first, last = _rows_between(y[some] - radius, y[some] + radius, rows)
        disc, row = _spread(first, last)
        half = np.sqrt(np.maximum(radius**2 - (row + 0.5 - y[some][disc]) ** 2, 0))
        ends = [np.ceil(x[some][disc] + side * half - 0.5).astype(np.intp) for side in (-1, 1)]
        ones = np.ones(len(row), np.int32)
        found += [(row, ends[0], ones), (row, ends[1], -ones)]
    return _joined(found)


def _rows_between(
    y0: NDArray[np.float64], y1: NDArray[np.float64], rows: slice
) -> tuple[Indices, Indices]:
    """The first of ``rows`` whose centre is not above both, and the first that is below both."""
    ends = np.ceil(np.stack([np.minimum(y0, y1), np.maximum(y0, y1)]) - 0.5)
    first, last = np.clip(ends, rows.start, rows.stop).astype(np.intp)
    return first, last


def _spread(first: Indices, last: Indices) -> tuple[Indices, Indices]:
    """For ranges of rows, the index of the range and the row of each of their rows."""
    counts = last - first
    which = np.repeat(np.arange(len(counts)), counts)
    before = np.repeat(np.cumsum(counts) - counts, counts)
    return which, first[which] + np.arange(len(which)) - before


def _parts(first: Indices, last: Indices) -> list[slice]:
    """Cut a list of ranges of rows where `MOST_CROSSINGS` rows are full."""
    full = np.cumsum(last - first) // MOST_CROSSINGS
    cuts = [0, *(np.flatnonzero(np.diff(full)) + 1).tolist(), len(first)]
    return [slice(begin, end) for begin, end in pairwise(cuts)]


def _joined(found: Sequence[Steps]) -> Steps:
    rows, columns, changes = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return rows, columns, changes


def _sums(steps: Sequence[Steps], rows: slice, columns: slice) -> NDArray[np.int32]:
    """The sum of all changes at or left of each pixel of the band."""
    band = np.zeros((rows.stop - rows.start, columns.stop - columns.start + 1), np.int32)
    for row, column, change in steps:
        at = np.clip(column, columns.start, columns.stop) - columns.start
        np.add.at(band, (row - rows.start, at), change)
    return np.cumsum(band[:, :-1], axis=1, dtype=np.int32)
