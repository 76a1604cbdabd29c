"""Millimetres per pixel, with their error: a multiplication after everything was measured."""

from dataclasses import dataclass
from math import hypot, isfinite, sqrt

from minispiral.errors import UserError

FULL_FRAME = hypot(36, 24)  # mm, the diagonal of the film that equivalent focal lengths refer to


@dataclass(frozen=True)
class Scale:
    """How large a pixel is on the wall.

    ``mm_per_pixel``: mm; ``relative_sd``: standard deviation of it as a share of it; ``source``:
    what it rests on, for a person to read.

    Raises `UserError` for a size that is not positive and an error that is negative.
    """

    mm_per_pixel: float
    relative_sd: float = 0.0
    source: str = "given"

    def __post_init__(self) -> None:
        if not (isfinite(self.mm_per_pixel) and self.mm_per_pixel > 0):
            raise UserError(
                f"A scale of {self.mm_per_pixel:g} mm per pixel was given, expected more than 0",
                "scale",
            )
        if not (isfinite(self.relative_sd) and 0 <= self.relative_sd < 1):
            raise UserError(
                f"A scale error of {self.relative_sd:g} was given, expected a share from 0 to 1",
                "scale",
            )


def from_points(
    first: tuple[float, float],
    second: tuple[float, float],
    mm: float,
    click_sd: float = 1.0,
) -> Scale:
    """The scale from two points (x, y in pixels) that are ``mm`` apart on the wall.

    Each was clicked to within ``click_sd`` pixels, so that the relative error of the distance d is
    sqrt(2) click_sd / d. Raises `UserError` for points nearer than 10 pixels and for a distance
    that is not positive.
    """
    distance = hypot(first[0] - second[0], first[1] - second[1])
    if not distance >= 10:
        raise UserError(
            f"Two points {distance:.1f} pixels apart were given for the scale, expected at least "
            "10, better several hundred",
            "from_points",
        )
    if not (isfinite(mm) and mm > 0):
        raise UserError(
            f"A distance of {mm:g} mm was given for two points, expected more than 0", "from_points"
        )
    error = sqrt(2) * click_sd / distance
    return Scale(mm / distance, error, f"two points {mm:g} mm apart")


def from_camera(
    distance_mm: float, focal_mm: float, pitch_um: float, distance_sd_mm: float = 0.0
) -> Scale:
    """The scale of a wall seen straight on from ``distance_mm`` (pinhole camera focused on it).

    mm per pixel = (distance - f) / f * pitch. Raises `UserError` for lengths that are not positive
    and a wall nearer than the focal length.
    """
    _check_camera(distance_mm, focal_mm)
    if not pitch_um > 0:
        raise UserError(
            f"A pixel pitch of {pitch_um:g} um was given, expected more than 0", "pitch"
        )
    lever = distance_mm - focal_mm
    return Scale(lever / focal_mm * pitch_um / 1000, distance_sd_mm / lever, "camera")


def from_full_frame(
    distance_mm: float,
    focal_35mm: float,
    width_px: int,
    height_px: int,
    distance_sd_mm: float = 0.0,
) -> Scale:
    """The scale from the 35-mm-equivalent focal length, as EXIF gives it in whole millimetres.

    It has the same angle of view along the diagonal (CIPA DCG-001), whatever the picture's shape:

        mm per pixel = (distance - f) / f * 43.27 mm / hypot(width, height),

    of the picture as it left the camera. The rounding of f to 1 mm is uniform, 0.29 mm standard
    deviation. Raises `UserError` as `from_camera`, and for a picture without pixels.
    """
    _check_camera(distance_mm, focal_35mm)
    if min(width_px, height_px) < 1:
        raise UserError(
            f"A picture of {width_px} x {height_px} pixels was given, expected at least 1 x 1",
            "photo",
        )
    lever = distance_mm - focal_35mm
    error = hypot(distance_sd_mm / lever, 0.29 / focal_35mm)
    pitch_mm = FULL_FRAME / hypot(width_px, height_px)
    return Scale(lever / focal_35mm * pitch_mm, error, "camera, focal length by EXIF")


def _check_camera(distance_mm: float, focal_mm: float) -> None:
    if not focal_mm > 0:
        raise UserError(
            f"A focal length of {focal_mm:g} mm was given, expected more than 0", "focal"
        )
    if not distance_mm > focal_mm:
        raise UserError(
            f"A camera distance of {distance_mm:g} mm was given, expected more than the focal "
            f"length of {focal_mm:g} mm",
            "distance",
        )
