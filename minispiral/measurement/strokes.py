"""Edges of the graph joined to the strokes of a crack: through junctions and over gaps."""

from dataclasses import dataclass, field

import numpy as np

from minispiral.measurement.curves import Floats, heading, length
from minispiral.measurement.graph import Edge, End, ends_at
from minispiral.measurement.settings import Settings


@dataclass
class Stroke:
    """An unbranched line: ``points`` (n, 2), chained pixel centres.

    ``crack``: strokes of the same number hang together. ``bridges``: the pairs of points between
    which a gap was bridged.
    """

    points: Floats
    crack: int
    bridges: list[tuple[Floats, Floats]] = field(default_factory=list)

    @property
    def bridged(self) -> float:
        return sum(float(np.hypot(*(b - a))) for a, b in self.bridges)

    @property
    def length(self) -> float:
        return length(self.points)


class _Groups:
    """Which edges hang together: a union-find over their numbers."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))

    def find(self, k: int) -> int:
        while self.parent[k] != k:
            self.parent[k] = self.parent[self.parent[k]]
            k = self.parent[k]
        return k

    def join(self, a: int, b: int) -> None:
        self.parent[self.find(a)] = self.find(b)


def joined(edges: list[Edge], settings: Settings) -> list[Stroke]:
    """Strokes of as many edges as go on straight through junctions and over gaps."""
    table = ends_at(edges)
    groups = _Groups(len(edges))
    partner: dict[End, End] = {}
    for ends in table.values():
        for k, _ in ends[1:]:
            groups.join(k, ends[0][0])
        partner.update(_straight_on(edges, ends, settings.turn))
    free = [ends[0] for ends in table.values() if len(ends) == 1]
    bridges = _bridges(edges, free, settings)
    for (i, _), (j, _) in bridges.items():
        groups.join(i, j)
    partner.update(bridges)

    strokes: list[Stroke] = []
    used: set[int] = set()
    starts = [(k, end) for k in range(len(edges)) for end in (0, 1) if (k, end) not in partner]
    starts += [(k, 0) for k in range(len(edges))]  # rings have no end to start from
    for k, end in starts:
        if k in used:
            continue
        stroke = Stroke(np.zeros((0, 2)), groups.find(k))
        parts: list[Floats] = []
        while k not in used:
            used.add(k)
            part = edges[k].points if end == 0 else edges[k].points[::-1]
            if parts and (k, end) in bridges:
                stroke.bridges.append((parts[-1][-1], part[0]))
            parts.append(part)
            if (k, 1 - end) not in partner:
                break
            k, end = partner[k, 1 - end]
        stroke.points = np.concatenate(parts)
        strokes.append(stroke)
    return strokes


def _straight_on(edges: list[Edge], ends: list[End], turn: float) -> dict[End, End]:
    """Of the ends that meet at a junction, those that go on in each other, straightest first."""
    out = [heading(edges[k].points, end) for k, end in ends]
    pairs = sorted((float(out[i] @ out[j]), i, j) for i in range(len(ends)) for j in range(i))
    partner: dict[End, End] = {}
    for cosine, i, j in pairs:
        a, b = ends[i], ends[j]
        straight = len(ends) == 2 or -cosine >= np.cos(np.radians(turn))
        if straight and a[0] != b[0] and not {a, b} & partner.keys():
            partner[a], partner[b] = b, a
    return partner


def _bridges(edges: list[Edge], free: list[End], settings: Settings) -> dict[End, End]:
    """Free ends that point at each other over a gap, nearest first.

    The shorter the lines beside a gap, the less is known of where they lead: its length may be at
    most the geometric mean of the shorter one's and of the longest gap.
    """
    if len(free) < 2:
        return {}
    from scipy.spatial import cKDTree

    tips = np.array([edges[k].points[0 if end == 0 else -1] for k, end in free])
    out = np.array([heading(edges[k].points, end) for k, end in free])
    near = []
    for i, j in cKDTree(tips).query_pairs(settings.gap):
        gap = tips[j] - tips[i]
        far = float(np.hypot(*gap))
        turn = min(np.radians(settings.gap_turn), np.arcsin(min(1, settings.gap_aim / max(far, 1))))
        aimed = min(out[i] @ gap, -out[j] @ gap) > np.cos(turn) * far
        shorter = min(edges[k].length for k, _ in (free[i], free[j]))
        if aimed and free[i][0] != free[j][0] and far * far <= settings.gap * shorter:
            near.append((far, i, j))
    partner: dict[End, End] = {}
    for _, i, j in sorted(near):
        a, b = free[i], free[j]
        if not {a, b} & partner.keys():
            partner[a], partner[b] = b, a
    return partner
