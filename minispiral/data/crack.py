"""The record of a crack: where it runs and how wide it is."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Crack:
    """One crack, or one branch of a crack.

    ``points`` (n, 2): x, y in pixels from the top left corner of the photograph; the centre of its
    first pixel is 0.5, 0.5. ``widths`` (n,): the opening in pixels, 0 where the crack is
    interrupted.
    """

    points: NDArray[np.float64]
    widths: NDArray[np.float64]


def cracks_json(cracks: Sequence[Crack], height: int, width: int) -> str:
    """The cracks of a photograph of ``height`` x ``width`` pixels as JSON.

    ``{"width", "height", "cracks": [{"points": [[x, y], ...], "widths": [...]}, ...]}``
    """
    records = [
        {"points": crack.points.round(2).tolist(), "widths": crack.widths.round(3).tolist()}
        for crack in cracks
    ]
    return json.dumps({"width": width, "height": height, "cracks": records})
