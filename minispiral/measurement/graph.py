"""The graph of a thinned mask: chains of pixels between ends and junctions, and its artefacts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minispiral.measurement.curves import Floats, length
from minispiral.measurement.settings import Settings

NO_NODE = -1  # of a closed ring

# Of a pixel, row and column: north first, clockwise.
NEIGHBOURS = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


@dataclass
class Edge:
    """A chain of pixels between two nodes: ``points`` (n, 2), pixel centres, nodes included."""

    points: Floats
    nodes: tuple[int, int]

    @property
    def length(self) -> float:
        return length(self.points)

    @property
    def ring(self) -> bool:
        return self.nodes[0] == self.nodes[1]


End = tuple[int, int]  # the number of an edge, and which of its ends: 0 or 1


def ends_at(edges: list[Edge]) -> dict[int, list[End]]:
    """For each node the ends of edges that meet there."""
    table: dict[int, list[End]] = {}
    for k, edge in enumerate(edges):
        for end, node in enumerate(edge.nodes):
            if node != NO_NODE:
                table.setdefault(node, []).append((k, end))
    return table


def traced(skeleton: NDArray[np.bool_]) -> list[Edge]:
    """The edges of a ``skeleton`` (h, w) of lines one pixel wide.

    A node is a pixel with one neighbour, or with three and more; it is named by its position. A
    diagonal neighbour counts only where no pixel beside both leads there too.
    """
    padded = np.pad(skeleton, 1)
    stride = padded.shape[1]
    flat = padded.ravel()
    pixels = np.flatnonzero(flat)
    joined: dict[int, list[int]] = {p: [] for p in pixels.tolist()}
    for k, (dy, dx) in enumerate(NEIGHBOURS):
        there = flat[pixels + (dy * stride + dx)]
        if k % 2:
            there = there & ~flat[pixels + dy * stride] & ~flat[pixels + dx]
        for p in pixels[there].tolist():
            joined[p].append(p + dy * stride + dx)
    nodes = {p for p, others in joined.items() if len(others) != 2}

    def walk(start: int, second: int) -> list[int]:
        chain = [start, second]
        while chain[-1] not in nodes and chain[-1] != start:
            a, b = joined[chain[-1]]
            chain.append(b if a == chain[-2] else a)
        return chain

    chains: list[list[int]] = []
    begun: set[tuple[int, int]] = set()
    for p in nodes:
        for q in joined[p]:
            if (p, q) not in begun:
                chain = walk(p, q)
                begun |= {(p, q), (chain[-1], chain[-2])}
                chains.append(chain)
    on_chains = nodes.union(*chains) if chains else set(nodes)
    rings = []
    for p in joined:
        if p not in on_chains:
            rings.append(walk(p, joined[p][0]))
            on_chains.update(rings[-1])

    def points(chain: list[int]) -> Floats:
        rows, cols = np.divmod(np.array(chain), stride)
        return np.stack([cols - 0.5, rows - 0.5], axis=1)  # the padding is one pixel

    edges = [Edge(points(chain), (chain[0], chain[-1])) for chain in chains]
    return edges + [Edge(points(ring), (NO_NODE, NO_NODE)) for ring in rings]


def cleaned(edges: list[Edge], sure: NDArray[np.bool_], settings: Settings) -> list[Edge]:
    """Without spurs and meshes; junctions that are near each other become one.

    ``sure`` (h, w): where a pixel is surely crack. Probability maps have fringes: a side branch
    that is hardly sure is a spur though it be longer than others. The order matters: contracting
    short edges before the spurs are gone eats whole cracks on the speckled map of a small network.
    """
    edges = _without_spurs(edges, sure, settings)
    while True:
        fewer = _without_meshes(edges, settings.mesh)
        if len(fewer) == len(edges):
            break
        edges = _without_spurs(fewer, sure, settings)
    return _contracted(edges, settings.merge)


def _joined(edges: list[Edge]) -> list[Edge]:
    """Edges made one where just two meet."""
    kept: list[Edge | None] = list(edges)
    table = ends_at(edges)
    for node, ends in table.items():
        if len(ends) != 2 or ends[0][0] == ends[1][0]:
            continue
        (i, end_i), (j, end_j) = ends
        first, second = kept[i], kept[j]
        assert first is not None
        assert second is not None
        head = first.points if end_i == 1 else first.points[::-1]
        tail = second.points if end_j == 0 else second.points[::-1]
        far = (first.nodes[1 - end_i], second.nodes[1 - end_j])
        kept[i], kept[j] = Edge(np.concatenate([head, tail[1:]]), far), None
        for end, (other, old) in enumerate(zip(far, ((i, 1 - end_i), (j, 1 - end_j)), strict=True)):
            if other not in {node, NO_NODE}:  # else a ring that closes here
                table[other][table[other].index(old)] = (i, end)
    return [edge for edge in kept if edge is not None]


def _without_spurs(edges: list[Edge], sure: NDArray[np.bool_], settings: Settings) -> list[Edge]:
    """Remove short edges with a free end at a junction, shortest first."""

    def short(edge: Edge) -> bool:
        if edge.length < settings.spur:
            return True
        cols, rows = np.floor(edge.points).astype(int).T
        return edge.length < settings.unsure_spur and bool(sure[rows, cols].mean() < 0.5)

    while True:
        edges = _joined(edges)
        table = ends_at(edges)
        spurs = []
        for k, edge in enumerate(edges):
            if edge.nodes[0] != NO_NODE and short(edge):
                degrees = sorted(len(table[node]) for node in edge.nodes)
                if degrees[0] == 1 and degrees[1] >= 3:
                    spurs.append((edge.length, k))
        if not spurs:
            return edges
        # One for each junction in each round: of two spurs at a fork, the longer is the crack.
        gone: set[int] = set()
        busy: set[int] = set()
        for _, k in sorted(spurs):
            if not busy & set(edges[k].nodes):
                gone.add(k)
                busy |= set(edges[k].nodes)
        edges = [edge for k, edge in enumerate(edges) if k not in gone]


def _without_meshes(edges: list[Edge], shortest: float) -> list[Edge]:
    """Without short rings, and the longer of two short ways between the same junctions."""
    kept: list[Edge] = []
    ways: set[tuple[int, int]] = set()
    for edge in sorted(edges, key=lambda edge: edge.length):
        way = (min(edge.nodes), max(edge.nodes))
        if edge.length < shortest and (edge.ring or way in ways):
            continue
        ways.add(way)
        kept.append(edge)
    return kept


def _contracted(edges: list[Edge], shortest: float) -> list[Edge]:
    """Without the short edges between two junctions, whose nodes become one."""
    table = ends_at(edges)
    names = {node: node for node in table}
    kept: list[Edge] = []
    busy: set[int] = set()
    for edge in sorted(edges, key=lambda edge: edge.length):
        a, b = edge.nodes
        inner = not edge.ring and min(len(table[a]), len(table[b])) > 2
        if inner and edge.length < shortest and not busy & {a, b}:
            names[a] = b
            busy |= {a, b}
        else:
            kept.append(edge)
    for edge in kept:
        if edge.nodes[0] != NO_NODE:
            edge.nodes = (names[edge.nodes[0]], names[edge.nodes[1]])
    return kept
