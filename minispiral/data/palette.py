"""Masks with a palette: from indices to what is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

VOID = 255  # the index of what is not labelled, in PASCAL VOC and many others
VOC_VOID = (224, 224, 192)

# Colours up to DARK are black to the eye, beside others of at least BRIGHT.
DARK, BRIGHT = 31, 128


def shown_values(image: Image.Image, doubts: dict[str, str]) -> tuple[NDArray[np.uint8], bool]:
    """Values (h, w), 0 on background, of a picture in mode P or PA; and whether it is in colour.

    The value is the largest of R, G and B, of which the palette's dark colours give 0. Among
    colours, index 255 is void if there are other classes, or has VOC's colour: 0 too. If
    no colour in use is dark, white is 0 if it covers more than half, otherwise index 0 is.
    """
    index = np.asarray(image)
    if image.mode == "PA":
        index = np.ascontiguousarray(index[..., 0])
    counts = np.array(image.histogram()[:256])
    used = np.flatnonzero(counts)
    palette = np.zeros((256, 3), np.uint8)
    given = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)[:256]
    palette[: len(given)] = given
    values, least = palette.max(axis=1), palette.min(axis=1)
    colour = bool((values[used] != least[used]).any())

    background = values == 0
    if values[used].max() >= BRIGHT and (colour or not background[used].any()):
        background = values <= DARK
    if not background[used].any() or (len(used) > 1 and background[used].all()):
        white = least >= 256 - DARK
        if 2 * counts[white].sum() > counts.sum():
            background = white
            doubts["white"] = "is drawn on white; what is not white counts as crack"
        else:
            background = np.arange(256) == 0
            doubts["palette"] = (
                "has a palette that does not show which colour is background; all but index 0 "
                "counts as crack"
            )
        values = np.maximum(values, 1)
    others = used[(used != VOID) & ~background[used]]
    is_void = tuple(palette[VOID]) == VOC_VOID or len(others)
    if colour and counts[VOID] and not counts[VOID - 1] and is_void and not background[VOID]:
        background = background | (np.arange(256) == VOID)
        doubts["void"] = (
            "has index 255, which is void, as in PASCAL VOC, and does not count as crack"
        )
    return np.where(background, 0, values).astype(np.uint8)[index], colour
