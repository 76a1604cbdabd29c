"""What lies beside a crack and swallows light as it does: dirt, damp, shadow, a second crack."""

import numpy as np

from minispiral.measurement.curves import Floats, normals
from minispiral.measurement.light import Light
from minispiral.measurement.profiles import LEAST, Profiles
from minispiral.measurement.wide import half_depth

RING = (2.5, 4.5)  # px from the edges at half depth, where a clean crack's blur has ended
WALL = 8.0  # px from the centre line and farther, where dirt has ended
TAIL = 0.01  # of a crack's depth: what its blur still swallows within the ring
WINDOWS = 6  # fewer tell nothing of what lies beside
SURE = 2.5  # standard errors; of 700 clean photographs none came beyond 2
SURE_OF_ONE = 3.0  # standard errors, where each of many cracks is asked
SKIRT = 3.0  # px, sd of the Gaussian that dirt along a crack is taken for
HALO = (20.0, 40.0)  # px from the centre line: where the wall around a wet crack is dry again
PLACES = 400  # along all cracks: enough for a median
DAMP = 0.08  # of the light: more is missing beside a wet crack; clouds and slopes make 0.03
UNEVEN = 0.12  # of the light: more between both sides is a shadow's edge or a joint
SECOND = 0.5  # of the depth: as deep is another crack within the profile, not texture


def dirt(profiles: Profiles, empty: Floats, offsets: Floats, sure: float = SURE) -> float:
    """How much light dirt along the cracks swallows at their middle, 0 where none is certain.

    The light is missing in a ring just outside the edges as compared with the wall farther out. It
    is certain where the median over the windows is ``sure`` times the error that the wall's own
    texture, seen in ``empty`` profiles, gives it.
    """
    edge = half_depth(profiles.values, offsets) / 2
    fits = edge + RING[1] <= WALL - 0.5
    if fits.sum() < WINDOWS or len(empty) < LEAST:
        return 0.0
    values, edge = profiles.values[fits], edge[fits]
    middle = float(np.median(edge))
    missing = _missing(values, edge, offsets)
    low, high = np.quantile(_missing(empty, np.full(len(empty), middle), offsets), [0.16, 0.84])
    error = 1.25 * (high - low) / 2 / np.sqrt(len(values) / 2)  # of a median; windows overlap
    depth = float(np.median(np.median(values, axis=1) - values.min(axis=1)))
    level = float(np.median(missing)) - TAIL * depth
    if level < sure * error:
        return 0.0
    skirt = _skirt(offsets)[None]
    return level / float(_missing(-skirt, np.array([middle]), offsets)[0])


def dirt_covariance(level: float, offsets: Floats) -> Floats:
    """Of profiles beside which dirt of about this ``level``, or none, lies."""
    skirt = _skirt(offsets)
    return level**2 * np.outer(skirt, skirt)


def damp(light: Light, lines: list[Floats]) -> float:
    """The median share of light that the wall along the cracks lacks against that 20 px away."""
    every = max(12, sum(len(line) for line in lines) // PLACES)
    offsets = np.concatenate([np.arange(6.0, 10.0), np.arange(HALO[0], HALO[1], 2.0)])
    offsets = np.concatenate([-offsets[::-1], offsets])
    far = np.abs(offsets) >= HALO[0]
    points = np.concatenate([line[6:-6:every] for line in lines] or [np.zeros((0, 2))])
    ways = np.concatenate([normals(line)[6:-6:every] for line in lines] or [np.zeros((0, 2))])
    if not len(points):
        return 0.0
    x, y = (points[:, i, None] + ways[:, i, None] * offsets for i in (0, 1))
    rows = light.at(x, y)
    near, away = (np.median(rows[:, which], axis=1) for which in (~far, far))
    return float(np.median(1 - near / np.maximum(away, 1e-3)))


def notes_beside(profiles: Profiles, empty: Floats, offsets: Floats) -> tuple[str, ...]:
    """What a person should know of what lies beside one crack, from its windows that count."""
    if len(profiles) < WINDOWS:
        return ()
    found = []
    if dirt(profiles, empty, offsets, SURE_OF_ONE):
        found.append("dirt or shadow along it")
    profile = np.median(profiles.values, axis=0)
    far = np.abs(offsets) >= WALL - 2
    left, right = (float(np.median(profile[far & side])) for side in (offsets < 0, offsets > 0))
    if abs(left - right) > UNEVEN * max(left, right):
        found.append("the light differs on both sides of it")
    if _second(profile, offsets):
        found.append("another crack within 10 pixels")
    return tuple(found)


def _second(profile: Floats, offsets: Floats) -> bool:
    """Whether a second minimum lies beside the first, with brighter wall between them."""
    wall = float(np.quantile(profile, 0.8))
    deep = wall - profile
    middle = len(offsets) // 2
    near = slice(middle - 4, middle + 5)
    first = float(deep[near].max())
    for side in (deep[: middle - 4][::-1], deep[middle + 5 :]):
        rising = np.maximum.accumulate(side[::-1])[::-1]  # the deepest from here outwards
        if ((rising > SECOND * first) & (side < 0.5 * rising)).any():
            return True
    return False


def _missing(values: Floats, edge: Floats, offsets: Floats) -> Floats:
    """The light (m,) of the wall less that of the ring outside the edges."""
    distance = np.abs(offsets)
    ring = (distance >= edge[:, None] + RING[0]) & (distance <= edge[:, None] + RING[1])
    wall = values[:, distance >= WALL].mean(axis=1)
    return np.asarray(wall - (values * ring).sum(axis=1) / ring.sum(axis=1))


def _skirt(offsets: Floats) -> Floats:
    return np.asarray(np.exp(-0.5 * (offsets / SKIRT) ** 2))
