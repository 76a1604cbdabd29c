"""What is known of a photograph's contrast before its profiles are seen."""

from dataclasses import dataclass
from math import hypot

import numpy as np
from numpy.typing import NDArray

from minispiral.errors import UserError
from minispiral.measurement.curves import Floats
from minispiral.measurement.scale import Scale
from minispiral.measurement.settings import Settings

NEAR = 15.0  # px, from a reading to the crack it was taken at


@dataclass(frozen=True)
class Reading:
    """What a crack card or a microscope showed at one place.

    ``x``, ``y``: px; ``mm``: the width; ``sd_mm``: its standard deviation: a card with steps of
    0.05 mm is read to 0.02.

    Raises `UserError` for a width that is not positive.
    """

    x: float
    y: float
    mm: float
    sd_mm: float = 0.02

    def __post_init__(self) -> None:
        if not (self.mm > 0 and self.sd_mm > 0):
            raise UserError(
                f"A reading of {self.mm:g} +- {self.sd_mm:g} mm was given, expected more than 0",
                "readings",
            )

    def pixels(self, scale: Scale) -> tuple[float, float]:
        """The width and its standard deviation in pixels."""
        width = self.mm / scale.mm_per_pixel
        return width, hypot(self.sd_mm / scale.mm_per_pixel, scale.relative_sd * width)


def contrast_grid(settings: Settings) -> Floats:
    """The contrasts that are compared, 0.05 apart."""
    count = round((1 - settings.contrast_least) / 0.05) + 1
    return np.linspace(settings.contrast_least, 1, count)


def contrast_prior(contrasts: Floats, settings: Settings) -> Floats:
    """A normal distribution and a uniform one, mixed; sums to 1 over the grid."""
    z = (contrasts - settings.contrast) / settings.contrast_sd
    normal = np.exp(-0.5 * z * z)
    share = settings.contrast_share
    return np.asarray((1 - share) * normal / normal.sum() + share / len(contrasts))


def near(points: Floats, reading: Reading) -> NDArray[np.intp]:
    """The numbers of the windows at ``points`` (m, 2) that a reading speaks of.

    Raises `UserError` where none is within 15 px.
    """
    far = np.hypot(points[:, 0] - reading.x, points[:, 1] - reading.y)
    if not len(far) or far.min() > NEAR:
        raise UserError(
            f"A reading was given at {reading.x:g}, {reading.y:g}, expected a crack within "
            f"{NEAR:g} pixels of it that can be measured there",
            "readings",
        )
    return np.flatnonzero(far <= far.min() + 6)
