"""What a photograph's EXIF says of its camera, as far as that tells the size of a pixel."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from minispiral.data import exif
from minispiral.data.decode import head_of

EXIF_IFD = 0x8769
FOCAL_LENGTH, FOCAL_LENGTH_35MM = 0x920A, 0xA405
FOCAL_PLANE_X, FOCAL_PLANE_UNIT = 0xA20E, 0xA210
PIXEL_X, PIXEL_Y = 0xA002, 0xA003
MICROMETRES = {2: 25_400.0, 3: 10_000.0, 4: 1_000.0, 5: 1.0}  # of the focal plane's units


@dataclass(frozen=True)
class Camera:
    """``width``, ``height``: of the photograph as it is shown, px, `None` if unreadable.

    By EXIF, `None` where it does not say: ``focal_mm``, ``focal_35mm``: focal length, and that of
    full frame with the same view, mm; ``pitch_um``: from the centre of a pixel to the next on the
    sensor, micrometres; ``taken``: longer and shorter side as the camera wrote them, px.
    """

    width: int | None = None
    height: int | None = None
    focal_mm: float | None = None
    focal_35mm: float | None = None
    pitch_um: float | None = None
    taken: tuple[int, int] | None = None

    @property
    def resized(self) -> bool:
        """Whether the photograph has another size than the camera gave it."""
        if self.taken is None or self.width is None or self.height is None:
            return False
        return self.taken != (max(self.width, self.height), min(self.width, self.height))


def camera_of(photo: Path, as_stored: bool = False) -> Camera:
    """What is known; nothing of a file that cannot be read, of which reading its pixels tells."""
    try:
        with head_of(photo) as image:
            width, height = exif.stored_size(image)
            sideways = exif.orientation(image) in exif.SIDEWAYS
            values: dict[int, Any] = {}
            with suppress(Exception):  # damaged EXIF data tell nothing
                values = dict(image.getexif().get_ifd(EXIF_IFD))
    except Exception:
        return Camera()
    if sideways and not as_stored:
        width, height = height, width
    resolution = _positive(values.get(FOCAL_PLANE_X))
    unit = MICROMETRES.get(values.get(FOCAL_PLANE_UNIT, 2))
    sides = [_positive(values.get(tag)) for tag in (PIXEL_X, PIXEL_Y)]
    taken = sorted((round(side) for side in sides if side), reverse=True)
    return Camera(
        width,
        height,
        _positive(values.get(FOCAL_LENGTH)),
        _positive(values.get(FOCAL_LENGTH_35MM)),
        unit / resolution if unit and resolution else None,
        (taken[0], taken[1]) if len(taken) == 2 else None,
    )


def _positive(value: Any) -> float | None:
    with suppress(TypeError, ValueError, ZeroDivisionError):
        number = float(value)
        if isfinite(number) and number > 0:
            return number
    return None
