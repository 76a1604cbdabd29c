"""Values of more than 8 bits to bytes: what is white?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minispiral.data.tiff import Layout
from minispiral.errors import UserError

# Cameras of 12 bits store 0 to 4095 in 16, which read as 16 bits is a picture as good as black.
TWELVE_BITS = 4095

# Below this largest value, 16 bits may be 14 bits, or a photograph taken in the dark.
QUARTER = 16384


def to_bytes(values: NDArray[np.integer], layout: Layout, path: Path) -> NDArray[np.uint8]:
    """Integers v to 8 bits, ``round(255 v / white)``; the complement where white is zero.

    White is what the tags of the file say. Without them the largest value tells: up to 255 the
    values are bytes, from 1024 to 4095 they have 12 bits, from 16384 on they fill the 16 bits, or
    15 if signed.

    Raises `UserError` where white is not certain: other largest values, negative ones, floats.
    """
    lowest, highest = values.min(), values.max()
    if values.dtype.kind == "f" or lowest < 0 or highest > 65535:
        raise UserError(
            f"{path} holds {values.dtype} values from {lowest} to {highest}, expected "
            "8 or 16 bits per channel; save it as an 8-bit picture"
        )
    white = layout.white or _white(int(highest), layout)
    if white is None or highest > white:
        raise UserError(
            f"{path} holds values from {lowest} to {highest} in {layout.bits} bits, so it is not "
            "certain which value is white; save it as an 8-bit picture"
        )
    table = ((np.arange(white + 1, dtype=np.uint32) * 510 + white) // (2 * white)).astype(np.uint8)
    bright: NDArray[np.uint8] = np.take(table[::-1] if layout.white_is_zero else table, values)
    return bright


def _white(highest: int, layout: Layout) -> int | None:
    """The value that is white by the largest that occurs, None if that is not certain."""
    if highest >= QUARTER:
        return 32767 if layout.signed and highest <= 32767 else 65535
    if layout.white_is_zero:  # a large value is dark there, and need not occur
        return None
    if highest <= 255:
        return 255
    return TWELVE_BITS if 1023 < highest <= TWELVE_BITS else None
