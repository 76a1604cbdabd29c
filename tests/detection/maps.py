"""Random maps of probabilities and the masks that they are scored against."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter


def smooth_map(rng: np.random.Generator, size: tuple[int, int], blur: float) -> NDArray[np.float32]:
    """Noise from 0 to 1, blurred, so that thresholds cut blobs and lines out of it."""
    values = gaussian_filter(rng.random(size), blur)
    spread = np.ptp(values) or 1
    return ((values - values.min()) / spread).astype(np.float32)


def random_pair(
    rng: np.random.Generator, crack: bool = True, levels: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A map, with so many ``levels`` if any, and a mask of the same size, with a crack or none."""
    size = rng.integers(5, 24, 2)
    values = smooth_map(rng, (int(size[0]), int(size[1])), rng.choice([0, 1]))
    if levels:
        values = np.round(values * levels).astype(np.float32) / np.float32(levels)
    mask = (values + rng.normal(0, 0.3, size) > 0.8) & crack
    mask.flat[rng.integers(mask.size)] = crack
    return values, mask
