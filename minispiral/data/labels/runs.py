"""Run lengths, as COCO and CVAT store masks."""

import numpy as np
from numpy.typing import NDArray

from minispiral.data.labels.shapes import Runs, Size
from minispiral.data.labels.values import Place

DIGITS = 12  # of a compressed run: 5 bits each, more than the largest photograph needs


def checked_runs(lengths: list[int], size: Size, place: Place) -> NDArray[np.int64]:
    """Run lengths of a mask of ``size``; raises `UserError` unless they fill it exactly."""
    width, height = size
    if any(length < 0 for length in lengths):
        raise place.error(f"a run has {min(lengths)} pixels, expected 0 or more")
    if sum(lengths) != width * height:
        raise place.error(
            f"the runs have {sum(lengths)} pixels together, expected {width * height} for "
            f"{width} x {height}"
        )
    return np.array(lengths, np.int64)


def decompressed(text: str, place: Place) -> list[int]:
    """The run lengths in the text that COCO's tools write (``rleFrString`` of its ``maskApi.c``).

    Characters hold 6 bits from the 48th: five of the number, the lowest first, and whether it goes
    on. From the fourth number on, each is the difference to the one before the last. Raises
    `UserError` for any other text.
    """
    lengths: list[int] = []
    number = digits = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or digits >= DIGITS:
            raise place.error(f"the compressed runs have {character!r}, which ends no number")
        number |= (code & 31) << 5 * digits
        digits += 1
        if code & 32:
            continue
        if code & 16:  # the sign
            number -= 1 << 5 * digits
        lengths.append(number + (lengths[-2] if len(lengths) > 2 else 0))
        number = digits = 0
    if digits:
        raise place.error("the compressed runs end inside a number")
    return lengths


def runs_of(mask: NDArray[np.bool_], corner: tuple[int, int]) -> Runs:
    """A mask (h, w) as runs along its rows."""
    flat = mask.ravel()
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    lengths = np.diff(changes, prepend=0, append=flat.size)
    return Runs(lengths, (mask.shape[1], mask.shape[0]), corner, by_rows=True)
