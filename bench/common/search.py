"""The photograph that both engines search for cracks."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.common.task import DEPTHS

UNIT = 2**DEPTHS  # of the sides of tiles


class Search(NamedTuple):
    """A photograph of ``height`` x ``width`` pixels and the width factor of the Spiral-Net."""

    height: int = 3678
    width: int = 5472
    factor: float = 1.0

    def photo(self) -> NDArray[np.uint8]:
        """Noise: the time does not depend on what the photograph shows."""
        rng = np.random.default_rng(0)
        return rng.integers(256, size=(self.height, self.width, 3), dtype=np.uint8)
