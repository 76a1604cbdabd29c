"""What the page is made of: a photograph, its probability map and what was measured in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.data.decode import decode
from minispiral.data.photos import read_photo
from minispiral.errors import UserError
from minispiral.measurement.records import Measurement


@dataclass(frozen=True)
class Photograph:
    """One photograph of the page.

    ``pixels``: (h, w, 3) uint8, or a file, which is read when its turn comes. ``probability``:
    (h, w), float from 0 to 1 or uint8 from 0 to 255, or such a picture's file. ``as_stored``: the
    file is read whatever EXIF says of its orientation. ``notices``: sentences to stand above the
    picture.
    """

    name: str
    pixels: NDArray[np.uint8] | Path
    probability: NDArray[Any] | Path
    measurement: Measurement
    as_stored: bool = False
    notices: tuple[str, ...] = ()

    def read(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The pixels (h, w, 3) and the probability map (h, w), 255 for 1.

        Raises `UserError` for files that cannot be read and sizes that are not the measurement's.
        """
        photo, chances = self.pixels, self.probability
        pixels = read_photo(photo, self.as_stored) if isinstance(photo, Path) else photo
        values = _read_map(chances) if isinstance(chances, Path) else chances
        if values.dtype != np.uint8:
            values = np.rint(255 * values).astype(np.uint8)
        expected = (self.measurement.height, self.measurement.width)
        for what, found in (("photograph", pixels), ("probability map", values)):
            if found.shape[:2] != expected:
                (h, w), (eh, ew) = found.shape[:2], expected
                raise UserError(
                    f"{self.name}: the {what} is {w} x {h} pixels, expected the {ew} x {eh} that "
                    "were measured"
                )
        return pixels, values


def _read_map(path: Path) -> NDArray[np.uint8]:
    """Grey as it lies in the file: three equal colours would take three times the memory."""
    return np.asarray(decode(path, True).image.convert("L"))
