"""Whether a mask lies on the cracks of its photograph: cracks are dark lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]
Points = tuple[Rows, Rows]  # rows and columns

POINTS = 2000  # of the mask, which are looked at
FEW = 20  # points, too few to judge by
LINES = 512  # rows, and columns, by which the width of the cracks is estimated
RADIUS = 12  # pixels to the background; wider cracks have it farther away
REACH = 8  # pixels by which a mask is moved in search of its cracks
WEAK = 0.25  # contrast of a mask that is not on its cracks
CONVINCING = 0.6  # contrast of a mask that is on its cracks after a move or a turn
TIMES = 2.0  # as much contrast as before it has, then
_ANGLES = np.arange(16) * (2 * np.pi / 16)

# Where a point (y, x) of a mask comes to lie; bottom and right are the last row and column. Those
# that exchange rows and columns are for square masks.
TURNS: dict[str, Callable[[Rows, Rows, int, int], Points]] = {
    "turned by 180 degrees": lambda y, x, bottom, right: (bottom - y, right - x),
    "mirrored left to right": lambda y, x, bottom, right: (y, right - x),
    "mirrored top to bottom": lambda y, x, bottom, right: (bottom - y, x),
}
SQUARE_TURNS: dict[str, Callable[[Rows, Rows, int, int], Points]] = {
    "turned by 90 degrees to the left": lambda y, x, bottom, right: (right - x, y),
    "turned by 90 degrees to the right": lambda y, x, bottom, right: (x, bottom - y),
    "mirrored at its diagonal": lambda y, x, bottom, right: (x, y),
    "mirrored at its other diagonal": lambda y, x, bottom, right: (right - x, bottom - y),
}


class Alignment(NamedTuple):
    """The ``contrast`` under a mask, and how the mask would fit far better, if there is a way.

    ``length`` is that of the mask's lines in pixels. Of short ones chance makes as much.
    """

    contrast: float
    length: float
    fits: str = ""

    @property
    def beside(self) -> bool:
        """Whether the mask seems to lie beside its cracks."""
        return self.contrast < WEAK or bool(self.fits)


def alignment(grey: NDArray[np.uint8], mask: NDArray[np.bool_]) -> Alignment | None:
    """How much darker a picture (h, w) is under its mask (h, w) than around it.

    The contrast is ``mean D(p) / std D`` over points p of the mask, with ``D(p)`` the mean over
    two circles around p minus the mean over 3 x 3 pixels at p, and its standard deviation taken
    over the whole picture. Masks of other photographs have -0.2 to 0.2, those drawn on the cracks
    0.4 to 4. A mask fits better where a move of up to 8 pixels, a turn or a mirror image has at
    least 0.6 and twice the contrast.

    None for a mask of fewer than 20 pixels and for a picture without contrast.
    """
    if np.count_nonzero(mask) < FEW:
        return None
    h, w = mask.shape
    width = _width(mask)
    radius = int(min(max(RADIUS, 4 * width), max(min(h, w) // 4, 2)))
    rng = np.random.default_rng(0)
    anywhere = rng.integers(h, size=2 * POINTS), rng.integers(w, size=2 * POINTS)
    spread = float(_darkness(grey, anywhere, radius).std())
    if not spread:
        return None

    def contrast(points: Points) -> float:
        return float(_darkness(grey, points, radius).mean()) / spread

    points = _points(mask)
    here = contrast(points)
    few = points[0][::5], points[1][::5]
    others: dict[str, Points] = {}
    coarse = _best_move(contrast, few, (0, 0), range(-REACH, REACH + 1, 2))
    if coarse != (0, 0):
        dy, dx = _best_move(contrast, few, coarse, range(-1, 2))
        others[_named(dy, dx)] = points[0] + dy, points[1] + dx
    for name, turn in {**TURNS, **(SQUARE_TURNS if h == w else {})}.items():
        others[name] = turn(*few, h - 1, w - 1)
    contrasts = {name: contrast(points) for name, points in others.items()}
    best = max(contrasts, key=lambda name: contrasts[name])
    better = contrasts[best] >= max(CONVINCING, TIMES * here)
    return Alignment(here, np.count_nonzero(mask) / width, best if better else "")


def _best_move(
    contrast: Callable[[Points], float], points: Points, start: tuple[int, int], steps: range
) -> tuple[int, int]:
    """The move (dy, dx), ``start`` and a step in each direction, of the most contrast."""
    moves = [(start[0] + dy, start[1] + dx) for dy in steps for dx in steps]
    return max(moves, key=lambda move: contrast((points[0] + move[0], points[1] + move[1])))


def _named(dy: int, dx: int) -> str:
    """``moved by 3 pixels to the right and 2 pixels down``."""
    parts = [
        f"{abs(step)} pixel{'s' * (abs(step) > 1)} {names[step > 0]}"
        for step, names in ((dx, ("to the left", "to the right")), (dy, ("up", "down")))
        if step
    ]
    return f"moved by {' and '.join(parts)}"


def _points(mask: NDArray[np.bool_]) -> Points:
    """Rows and columns of up to 2000 points of the mask, evenly taken."""
    flat = np.flatnonzero(mask)
    flat = flat[np.linspace(0, len(flat) - 1, min(len(flat), POINTS)).astype(np.intp)]
    return np.divmod(flat, mask.shape[1])


def _darkness(grey: NDArray[np.uint8], points: Points, radius: int) -> NDArray[np.float64]:
    """``D`` of `alignment` at each of the points; beyond the border its pixels are repeated."""
    h, w = grey.shape

    def mean(dy: NDArray[np.intp], dx: NDArray[np.intp]) -> NDArray[np.float64]:
        rows = np.clip(points[0][:, np.newaxis] + dy, 0, h - 1)
        columns = np.clip(points[1][:, np.newaxis] + dx, 0, w - 1)
        return np.asarray(grey[rows, columns].mean(axis=1))

    radii = np.array([[0.6 * radius], [radius]])
    circle_y = np.rint(radii * np.sin(_ANGLES)).astype(np.intp).ravel()
    circle_x = np.rint(radii * np.cos(_ANGLES)).astype(np.intp).ravel()
    square_y, square_x = (steps.ravel() for steps in np.mgrid[-1:2, -1:2])
    return mean(circle_y, circle_x) - mean(square_y, square_x)


def _width(mask: NDArray[np.bool_]) -> float:
    """The width of the lines in pixels: the mean run along rows or columns, the smaller one."""
    widths = [1.0]
    for picture in (mask, mask.T):
        lines = picture[:: max(len(picture) // LINES, 1)]
        starts = np.count_nonzero(lines[:, 1:] & ~lines[:, :-1]) + np.count_nonzero(lines[:, 0])
        if starts:
            widths.append(np.count_nonzero(lines) / starts)
    return min(widths[1:], default=1.0)
