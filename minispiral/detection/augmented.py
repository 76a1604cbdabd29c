"""Test-time augmentation: the mean of what a network predicts for a photograph in eight positions.

A crack may run in any direction, but a network that was trained on finitely many answers a little
differently when the photograph is turned. The mean of its answers has less of that error.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.detection.tiling import predict
from minispiral.networks import Network

# Rows and columns exchanged or not, then steps along both: all flips and quarter turns.
POSITIONS = tuple(product((False, True), (1, -1), (1, -1)))


def predict_augmented(
    network: Network,
    photo: NDArray[np.uint8],
    side: int | None = None,
    batch: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """The probability of crack, ``photo`` (h, w, 3) uint8 to (h, w) float32, as a mean of eight.

    ``1/8 sum over g of g^-1(predict(g(photo)))``, where g runs through the eight flips and quarter
    turns, among them none at all. A photograph that is turned or flipped gives the same map turned
    or flipped, to rounding.

    It takes eight times as long as `predict`, whose arguments it has. Of the eight maps one is in
    memory at a time, beside their sum and a turned photograph. ``progress(done, total)`` counts
    the tiles of all eight. Raises `UserError` as `predict` does.
    """

    def tell(k: int) -> Callable[[int, int], None] | None:
        if progress is None:
            return None
        return lambda done, tiles: progress(k * tiles + done, len(POSITIONS) * tiles)

    mean = predict(network, photo, side, batch, tell(0))
    for k, position in enumerate(POSITIONS[1:], 1):
        turned = np.ascontiguousarray(_turned(photo, *position))
        there = _turned(mean, *position)  # a view: what is added to it is turned back
        there += predict(network, turned, side, batch, tell(k))
    mean /= len(POSITIONS)
    return mean


def _turned(array: NDArray[Any], exchanged: bool, down: int, across: int) -> NDArray[Any]:
    """A view of ``array`` (h, w, ...) in another position."""
    return (array.swapaxes(0, 1) if exchanged else array)[::down, ::across]
