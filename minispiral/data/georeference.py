"""Where a photograph lies in the world: by a world file beside it, or by GeoTIFF tags in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, isfinite, log10
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.data import exif
from minispiral.data.decode import head_of
from minispiral.errors import UserError

PIXEL_SCALE, TIE_POINT, TRANSFORMATION, GEO_KEYS = 33550, 33922, 34264, 34735  # tags of GeoTIFF
RASTER_TYPE, GEOGRAPHIC_CRS, PROJECTED_CRS, UNIT = 1025, 2048, 3072, 3076  # keys of GeoTIFF
METRE = 9001
IS_POINT = 2  # a raster type: coordinates are those of the centres of pixels
FREE = 32767  # a reference system that has no number

Affine = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Georeference:
    """From pixels of the shown photograph to coordinates of the world.

    ``affine`` (a, b, c, d, e, f): X = a x + b y + c and Y = d x + e y + f, with x, y in pixels
    from the photograph's top left corner. ``epsg``: number of the coordinate reference system,
    `None` where the file has none. ``metres``: whether its unit is known to be the metre.
    """

    affine: Affine
    epsg: int | None = None
    metres: bool = False

    def world(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """The coordinates (n, 2) of points (n, 2), rounded to about a hundredth of a pixel."""
        a, b, c, d, e, f = self.affine
        matrix = np.array([[a, b], [d, e]])
        return np.asarray((points @ matrix.T + (c, f)).round(self.digits))

    @property
    def pixel(self) -> float:
        """The side of a pixel in units of the world."""
        a, b, _, d, e, _ = self.affine
        return float(np.sqrt(abs(a * e - b * d)))

    @property
    def digits(self) -> int:
        return max(0, ceil(2 - log10(self.pixel)))


def georeference(photo: Path, as_stored: bool = False) -> Georeference | None:
    """Where ``photo`` lies, `None` where neither tags nor a world file say so; tags come first.

    World file: six lines A, D, B, E, C, F; X = A col + B row + C and Y = D col + E row + F, with
    col, row 0, 0 at the centre of the first pixel (ESRI). GeoTIFF (OGC 19-008): a transformation,
    or a tie point and the size of a pixel. Both speak of the picture as it is stored; it is shown
    turned as EXIF says unless ``as_stored``.

    Raises `UserError` for a world file or tags that cannot be understood.
    """
    try:
        with head_of(photo) as image:
            turned = exif.orientation(image)
            tags: dict[int, Any] = dict(getattr(image, "tag_v2", {}))
            width, height = exif.stored_size(image)
    except Exception:  # reading its pixels will tell
        return None
    found = _from_tags(photo, tags)
    if found is None and (path := _world_file(photo)) is not None:
        found = _from_world_file(path)
    if found is None or as_stored or turned == 1:
        return found
    return replace(found, affine=_after(found.affine, _stored(turned, width, height)))


def _world_file(photo: Path) -> Path | None:
    """``wall.jgw``, ``wall.jpgw`` or ``wall.wld`` beside ``wall.jpg``, in upper case too."""
    kind = photo.suffix[1:].lower()
    endings = [f"{kind[:1]}{kind[-1:]}w", f"{kind}w", "wld"] if kind else ["wld"]
    for ending in endings:
        for spelled in (ending, ending.upper()):
            path = photo.with_suffix(f".{spelled}")
            if path.is_file() and path != photo:
                return path
    return None


def _from_world_file(path: Path) -> Georeference:
    try:
        a, d, b, e, c, f = (float(word) for word in path.read_text(encoding="ascii").split())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no world file, expected six numbers in six lines") from error
    return _checked(path, (a, b, c - (a + b) / 2, d, e, f - (d + e) / 2))


def _from_tags(photo: Path, tags: dict[int, Any]) -> Georeference | None:
    keys = tags.get(GEO_KEYS, ())
    entries = [keys[i : i + 4] for i in range(4, len(keys) - 3, 4)]
    short = {entry[0]: entry[3] for entry in entries if entry[1] == 0}
    try:
        if TRANSFORMATION in tags:
            a, b, _, c, d, e, _, f = (float(value) for value in tags[TRANSFORMATION][:8])
        elif TIE_POINT in tags and PIXEL_SCALE in tags:
            col, row, _, x, y, _ = (float(value) for value in tags[TIE_POINT][:6])
            across, down = (float(value) for value in tags[PIXEL_SCALE][:2])
            a, b, c, d, e, f = across, 0.0, x - across * col, 0.0, -down, y + down * row
        else:
            return None
    except (TypeError, ValueError) as error:
        raise UserError(f"The GeoTIFF tags of {photo} cannot be understood") from error
    if short.get(RASTER_TYPE) == IS_POINT:
        c, f = c - (a + b) / 2, f - (d + e) / 2
    system = short.get(PROJECTED_CRS, short.get(GEOGRAPHIC_CRS))
    found = _checked(photo, (a, b, c, d, e, f))
    return replace(found, epsg=None if system == FREE else system, metres=short.get(UNIT) == METRE)


def _checked(path: Path, affine: Affine) -> Georeference:
    a, b, _, d, e, _ = affine
    if not all(map(isfinite, affine)) or a * e == b * d:
        raise UserError(f"The georeference in {path} gives pixels no area in the world")
    return Georeference(affine)


def _stored(orientation: int, width: int, height: int) -> Affine:
    """From the shown picture to the stored one, ``width`` x ``height``: undoes `exif.turn`."""
    w, h = float(width), float(height)
    turns: dict[int, Affine] = {
        2: (-1, 0, w, 0, 1, 0),
        3: (-1, 0, w, 0, -1, h),
        4: (1, 0, 0, 0, -1, h),
        5: (0, 1, 0, 1, 0, 0),
        6: (0, 1, 0, -1, 0, h),
        7: (0, -1, w, -1, 0, h),
        8: (0, -1, w, 1, 0, 0),
    }
    return turns[orientation]


def _after(second: Affine, first: Affine) -> Affine:
    """The affine map that does ``first``, then ``second``."""
    a, b, c, d, e, f = second
    p, q, r, s, t, u = first
    return (
        a * p + b * s,
        a * q + b * t,
        a * r + b * u + c,
        d * p + e * s,
        d * q + e * t,
        d * r + e * u + f,
    )
