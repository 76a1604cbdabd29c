"""How EXIF turns a picture from the pixels that are stored to those that are shown."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)  # orientations that exchange width and height


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8 (Exif 2.32, section 4.6.4); 1, upright, if none is given."""
    with contextlib.suppress(Exception):  # damaged EXIF data give no orientation
        found = image.getexif().get(ORIENTATION)
        if isinstance(found, int) and 1 <= found <= 8:
            return found
    return 1


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as stored; of a TIFF, newer versions of Pillow tell the shown ones."""
    tags = getattr(image, "tag_v2", None)
    return image.size if tags is None else (tags[256], tags[257])  # ImageWidth, ImageLength


def turn(image: Image.Image, orientation: int, back: bool = False) -> Image.Image:
    """Turn a stored picture as its orientation says, or ``back`` to as it is stored."""
    from PIL.Image import Transpose

    upright = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    if back:
        orientation = {6: 8, 8: 6}.get(orientation, orientation)  # the others are their own inverse
    return image.transpose(upright[orientation]) if orientation in upright else image
