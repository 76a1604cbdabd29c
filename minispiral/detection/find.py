"""Find the cracks in a photograph: arrays in, arrays out."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minispiral.detection.metrics import THRESHOLD
from minispiral.detection.tiling import Predict, predict
from minispiral.errors import UserError
from minispiral.networks import Network


@dataclass(frozen=True)
class Finding:
    """What a network found in one photograph.

    ``probability`` (h, w) is that of crack, float32; ``crack`` (h, w) is True where it reaches the
    threshold.
    """

    probability: NDArray[np.float32]
    crack: NDArray[np.bool_]

    @property
    def crack_pixels(self) -> int:
        return int(np.count_nonzero(self.crack))

    @property
    def crack_share(self) -> float:
        """The share of crack among all pixels."""
        return self.crack_pixels / self.crack.size


def find_cracks(
    network: Network,
    photo: NDArray[np.uint8],
    threshold: float = THRESHOLD,
    progress: Callable[[int, int], None] | None = None,
    predict: Predict = predict,
) -> Finding:
    """Find the cracks in ``photo`` (h, w, 3).

    ``progress(done, total)`` counts tiles. ``predict`` makes the map: `predict_augmented` with
    test-time augmentation. Raises `UserError` as `check_threshold` and `predict` do.
    """
    check_threshold(threshold)
    probability = predict(network, photo, progress=progress)
    return Finding(probability, probability >= threshold)


def check_threshold(threshold: float) -> None:
    """Raise `UserError` for a threshold that is not a probability."""
    if not 0 <= threshold <= 1:
        raise UserError(
            f"a threshold of {threshold} was given, expected a probability, 0 to 1", "threshold"
        )
