"""Centre lines as paths of the page."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def path(points: NDArray[np.float64]) -> str:
    """The ``d`` of an SVG path through points (n, 2), to a tenth of a pixel."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points.tolist())
