"""Surfaces other than board-marked concrete, without cracks: asphalt, worn concrete, plaster."""

from dataclasses import dataclass

import numpy as np

from minispiral.data.synthetic.concrete import Surface
from minispiral.data.synthetic.painting import noise, soft_step

Range = tuple[float, float]


@dataclass(frozen=True)
class Ground:
    """A kind of surface: reflectance, strength of grain, whether stones show, share of all."""

    tone: Range
    grain: Range
    stones: bool
    share: float


KINDS = (
    Ground(tone=(0.10, 0.35), grain=(0.14, 0.40), stones=True, share=0.5),  # asphalt
    Ground(tone=(0.25, 0.60), grain=(0.07, 0.25), stones=True, share=0.3),  # worn concrete
    Ground(tone=(0.35, 0.75), grain=(0.02, 0.10), stones=False, share=0.2),  # plaster, paint
)


def make_ground(rng: np.random.Generator, height: int, width: int) -> Surface:
    """Paint ``height`` x ``width`` pixels of asphalt, worn concrete or plaster."""
    shape = (height, width)
    kind = KINDS[rng.choice(len(KINDS), p=[kind.share for kind in KINDS])]
    surface = Surface(
        np.full(shape, rng.uniform(*kind.tone), np.float32),
        np.zeros(shape, np.float32),
        np.zeros(shape, np.bool_),
    )
    clouds = noise(rng, shape, coarse=512, fine=float(rng.choice([8, 32])))
    surface.grey *= np.exp(np.float32(rng.uniform(0.02, 0.12)) * clouds)
    surface.warmth += np.float32(rng.uniform(0, 2)) * noise(rng, shape, coarse=512, fine=32)
    add_grain(rng, surface, rng.uniform(*kind.grain))
    if kind.stones:
        _show_stones(rng, surface)
    elif rng.random() < 0.5:
        brushed = noise(rng, shape, coarse=8, fine=1, stretch=float(rng.choice([1 / 12, 12])))
        surface.grey *= 1 + np.float32(rng.uniform(0.01, 0.05)) * brushed
    return surface


def add_grain(rng: np.random.Generator, surface: Surface, strength: float) -> None:
    """Make it uneven at the scale of a few pixels; ``strength``: sd of the light's logarithm."""
    coarse = float(np.exp(rng.uniform(np.log(2), np.log(8))))
    field = noise(rng, surface.grey.shape, coarse, max(0.8, coarse / 4), rng.uniform(0.8, 1.25))
    field += np.float32(rng.uniform(-0.25, 0.15)) * (field**2 - 1)  # pits deeper, or stones paler
    surface.grey *= np.exp(np.float32(strength) * field)


def _show_stones(rng: np.random.Generator, surface: Surface) -> None:
    """Pale stones that the surface is worn down to, and dark ones or pits between them."""
    size = float(np.exp(rng.uniform(np.log(2), np.log(7))))
    for sign, most, chance in ((1, 0.7, 0.8), (-1, 0.5, 0.6)):
        if rng.random() < chance:
            field = noise(rng, surface.grey.shape, size, max(1.0, size / 2))
            spots = soft_step(field, rng.uniform(1.1, 2.2), rng.uniform(1, 4))
            surface.grey *= np.exp(np.float32(sign * rng.uniform(0.1, most)) * spots)
