"""Which places along the cracks count, and why the others do not."""

import numpy as np
from numpy.typing import NDArray

from minispiral.measurement.curves import Floats, along, length
from minispiral.measurement.lines import MEETS
from minispiral.measurement.profiles import Profiles
from minispiral.measurement.records import Reason
from minispiral.measurement.settings import Settings
from minispiral.measurement.strokes import Stroke

TOUCH = 3.0  # px: lines nearer than this meet


class Reasons:
    """The reason of each of ``m`` windows; the first that is found stays."""

    def __init__(self, count: int) -> None:
        self.found: list[Reason] = [Reason.COUNTED] * count

    def add(self, where: NDArray[np.bool_], reason: Reason) -> None:
        for i in np.flatnonzero(where):
            if self.found[i] is Reason.COUNTED:
                self.found[i] = reason

    @property
    def counted(self) -> NDArray[np.bool_]:
        return np.array([reason is Reason.COUNTED for reason in self.found], bool)


def by_position(
    profiles: Profiles, lines: list[Floats], strokes: list[Stroke], settings: Settings
) -> Reasons:
    """Reasons that lie in where a window is: border, junction, gap, too near another line."""
    reasons = Reasons(len(profiles))
    reasons.add(profiles.border <= settings.reach, Reason.BORDER)
    if not len(profiles):
        return reasons
    from scipy.spatial import cKDTree

    windows = cKDTree(profiles.points)
    meeting, beside = _meetings(lines, strokes, settings)
    for points, radius, reason in (
        (meeting, settings.junction, Reason.JUNCTION),
        (_bridges(strokes), settings.window / 2, Reason.GAP),
    ):
        if len(points):
            far, _ = cKDTree(points).query(profiles.points)
            reasons.add(far <= radius, reason)
    near = np.zeros(len(profiles), bool)
    for k, points in beside.items():
        inside = windows.query_ball_point(points, settings.window / 2)
        for i in set().union(*inside):
            near[i] |= profiles.line[i] == k
    reasons.add(near, Reason.NEIGHBOUR)
    return reasons


def _meetings(
    lines: list[Floats], strokes: list[Stroke], settings: Settings
) -> tuple[Floats, dict[int, Floats]]:
    """Where lines meet (k, 2), and for each line its points with another within the profile.

    Two parts of one line count as two where the way along it, on a closed one the shorter way, is
    more than three times the reach.
    """
    from scipy.spatial import cKDTree

    if not lines:
        return np.zeros((0, 2)), {}
    points = np.concatenate(lines)
    line = np.repeat(np.arange(len(lines)), [len(each) for each in lines])
    at = np.concatenate([along(each) for each in lines])
    tree = cKDTree(points)
    pairs = tree.query_pairs(settings.reach, output_type="ndarray")
    a, b = pairs.T
    closed = np.array([np.hypot(*(each[0] - each[-1])) < TOUCH for each in lines])
    around = np.where(closed, [length(each) for each in lines], np.inf)
    way = np.abs(at[a] - at[b])
    way = np.minimum(way, around[line[a]] - way)
    apart = (line[a] != line[b]) | (way > 3 * settings.reach)
    a, b = a[apart], b[apart]
    touching = np.hypot(*(points[a] - points[b]).T) < TOUCH
    met = [points[a[touching]]]
    disturbed = np.unique(np.concatenate([a, b]))
    disturbed = disturbed[np.argsort(line[disturbed], kind="stable")]
    first = np.flatnonzero(np.diff(line[disturbed], prepend=-1))
    beside = {
        int(line[part[0]]): points[part] for part in np.split(disturbed, first[1:]) if len(part)
    }
    crack = np.array([stroke.crack for stroke in strokes])[line]
    for k, each in enumerate(lines):  # a branch may end a little short of the line it left
        for tip in (each[0], each[-1]):
            near = np.array(tree.query_ball_point(tip, MEETS))
            near = near[(line[near] != k) & (crack[near] == strokes[k].crack)]
            for j in np.unique(line[near]):
                on = points[near[line[near] == j]]
                met.append(on[np.hypot(*(on - tip).T).argmin()][None])
    return np.concatenate(met), beside


def _bridges(strokes: list[Stroke]) -> Floats:
    """Points 1 px apart on all bridges."""
    found = [np.zeros((0, 2))]
    for stroke in strokes:
        for a, b in stroke.bridges:
            steps = np.linspace(0, 1, max(2, int(np.hypot(*(b - a)))))[:, None]
            found.append(a + steps * (b - a))
    return np.concatenate(found)


def holes(profiles: Profiles, widths: Floats) -> NDArray[np.bool_]:
    """Windows far wider than the crack around them, (m,): a pore or a broken edge, not the crack.

    Wider than 1.8 times the median of the 13 windows around, or, since a spall may be longer than
    those, than 3 times the median of the whole line.
    """
    out = np.zeros(len(profiles), bool)
    for k in np.unique(profiles.line):
        here = np.flatnonzero(profiles.line == k)
        w = widths[here]
        whole = float(np.median(w))
        around = np.array([np.median(w[max(0, i - 6) : i + 7]) for i in range(len(w))])
        out[here] = (w > 1.8 * around + 0.3) | (w > 3 * whole + 0.5)
    return out
