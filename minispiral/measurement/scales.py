"""The scale of each photograph, from what a person says of a whole folder."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from minispiral.data.camera import Camera, camera_of
from minispiral.data.georeference import Georeference
from minispiral.errors import UserError
from minispiral.measurement.scale import Scale, from_camera, from_full_frame, from_points
from minispiral.measurement.user_table import UserRow, by_photo, read_table

LEAST, MOST = 0.0005, 100.0  # mm per pixel: a light microscope's, and a crack of 10 m in 100 pixels
USUAL = 0.005, 5.0  # mm per pixel: outside of it a slip is likelier than a photograph
FARTHEST = 1000.0  # m: beyond it, a distance was given in millimetres
PITCHES = 0.5, 30.0  # micrometres, of cameras
NAMES = {"focal": "focal length", "pitch": "pixel pitch"}


@dataclass(frozen=True)
class Known:
    """What a person knows of the scale: one of the first four.

    ``given``: the scale of all photographs. ``table``: a CSV file (photo, mm_per_pixel and, if
    known, relative_sd). ``points``: x1, y1, x2, y2 in pixels and their distance in mm. ``distance``
    of the camera from the wall and its standard deviation, m; with ``focal_mm`` and ``pitch_um``
    where EXIF does not tell focal length and pixel pitch.
    """

    given: Scale | None = None
    table: Path | None = None
    points: tuple[float, float, float, float, float] | None = None
    distance: tuple[float, float] | None = None
    focal_mm: float | None = None
    pitch_um: float | None = None


def scales_of(
    photos: Sequence[Path], known: Known, as_stored: bool = False
) -> tuple[list[Scale | None], list[str]]:
    """The scale of each photograph, `None` where it is unknown, and what is doubtful about them.

    Raises `UserError` for more than one way to know it, for points outside a photograph, and for
    numbers that cannot be true.
    """
    ways = {
        "scale": known.given,
        "scales": known.table,
        "from_points": known.points,
        "distance": known.distance,
    }
    chosen = [name for name, value in ways.items() if value is not None]
    if len(chosen) > 1:
        raise UserError(
            f"The scale was given in {len(chosen)} ways ({', '.join(chosen)}), expected one",
            chosen[1],
        )
    for name, value in (("focal", known.focal_mm), ("pitch", known.pitch_um)):
        if value is not None and known.distance is None:
            raise UserError(
                f"A {NAMES[name]} was given without the camera's distance, expected both",
                "distance",
            )
    if known.table is not None:
        scales, doubts = _from_table(photos, known.table)
    elif known.points is not None:
        scales, doubts = _from_points(photos, known.points, as_stored)
    elif known.distance is not None:
        scales, doubts = _from_cameras(photos, known, as_stored)
    else:
        scales, doubts = [known.given] * len(photos), []
    parameter = chosen[0] if chosen else ""
    for photo, scale in zip(photos, scales, strict=True):
        if scale is not None and not LEAST <= scale.mm_per_pixel <= MOST:
            raise UserError(
                f"A scale of {scale.mm_per_pixel:g} mm per pixel was given for {photo.name}, "
                f"expected {LEAST:g} to {MOST:g}",
                parameter,
            )
    odd = [s for s in scales if s is not None and not USUAL[0] <= s.mm_per_pixel <= USUAL[1]]
    if odd:
        doubts.append(f"{odd[0].mm_per_pixel:g} mm per pixel is unusual for photographs of cracks")
    return scales, doubts


def _from_table(photos: Sequence[Path], table: Path) -> tuple[list[Scale | None], list[str]]:
    rows = read_table(table, ("mm_per_pixel",), ("relative_sd",), "scales")
    found, doubts = by_photo(rows, photos, table, "scales")
    scales: list[Scale | None] = [None] * len(photos)
    for index, here in found.items():
        if len(here) > 1:
            raise UserError(
                f"{table} has {photos[index].name} in lines {here[0].line} and {here[1].line}, "
                "expected it once",
                "scales",
            )
        scales[index] = _scale(table, here[0])
    if without := [photo.name for photo, scale in zip(photos, scales, strict=True) if not scale]:
        named = ", ".join(without[:3]) + (", ..." if len(without) > 3 else "")
        doubts.append(f"not in {table.name}, and so measured in pixels: {named}")
    return scales, doubts


def _scale(table: Path, row: UserRow) -> Scale:
    try:
        return Scale(**row.values, source=table.name)
    except UserError as error:
        raise UserError(f"{table}, line {row.line}: {error}", "scales") from error


def _from_points(
    photos: Sequence[Path], points: tuple[float, float, float, float, float], as_stored: bool
) -> tuple[list[Scale | None], list[str]]:
    x1, y1, x2, y2, mm = points
    scale = from_points((x1, y1), (x2, y2), mm)
    for photo in photos:
        camera = camera_of(photo, as_stored)
        for x, y in ((x1, y1), (x2, y2)):
            check_inside(photo, camera, x, y, "from_points")
    doubts = []
    if len(photos) > 1:
        doubts.append(
            f"the scale of two points, {scale.mm_per_pixel:.4g} mm per pixel, is taken for all "
            f"{len(photos)} photographs, as if the camera had kept its distance"
        )
    return [scale] * len(photos), doubts


def check_inside(photo: Path, camera: Camera, x: float, y: float, parameter: str) -> None:
    """Raise `UserError` for a point, in pixels, that is not in the photograph."""
    if camera.width is None or camera.height is None:
        return
    if not (0 <= x <= camera.width and 0 <= y <= camera.height):
        raise UserError(
            f"The point {x:g}, {y:g} was given, expected one inside {photo.name}, which is "
            f"{camera.width} x {camera.height} pixels",
            parameter,
        )


def _from_cameras(
    photos: Sequence[Path], known: Known, as_stored: bool
) -> tuple[list[Scale | None], list[str]]:
    assert known.distance is not None
    if known.distance[0] > FARTHEST:
        raise UserError(
            f"A distance of {known.distance[0]:g} m was given, expected metres, up to {FARTHEST:g}",
            "distance",
        )
    scales: list[Scale | None] = []
    doubts: dict[str, None] = {}
    for photo in photos:
        camera = camera_of(photo, as_stored)
        if camera.width is None:  # reading its pixels will tell why
            scales.append(None)
            continue
        scale = _from_camera(photo, camera, known)
        scales.append(scale)
        doubts[f"{scale.mm_per_pixel:.4g} mm per pixel: {scale.source}"] = None
    told = list(doubts)
    return scales, told[:3] + ([f"... and {len(told) - 3} more"] if len(told) > 3 else [])


def _from_camera(photo: Path, camera: Camera, known: Known) -> Scale:
    assert known.distance is not None
    assert camera.width is not None
    assert camera.height is not None
    distance, sd = (1000 * value for value in known.distance)
    if known.pitch_um is None and camera.resized:
        assert camera.taken is not None
        raise UserError(
            f"{photo.name} is {camera.width} x {camera.height} pixels, but its camera took "
            f"{camera.taken[0]} x {camera.taken[1]}: it was cropped or made smaller, expected the "
            "pixel pitch that follows",
            "pitch",
        )
    focal, pitch = known.focal_mm or camera.focal_mm, known.pitch_um
    told = "given" if known.focal_mm else "EXIF"
    how = f"camera {distance / 1000:g} m away, "
    if pitch is None and camera.pitch_um and PITCHES[0] <= camera.pitch_um <= PITCHES[1]:
        pitch = camera.pitch_um
    if focal is not None and pitch is not None:
        scale = from_camera(distance, focal, pitch, sd)
        by = "given" if known.pitch_um else "EXIF's focal plane"
        return replace(
            scale, source=f"{how}focal length {focal:g} mm ({told}), pitch {pitch:.3g} um ({by})"
        )
    if camera.focal_35mm is not None and known.focal_mm is None and known.pitch_um is None:
        scale = from_full_frame(distance, camera.focal_35mm, camera.width, camera.height, sd)
        return replace(
            scale, source=f"{how}focal length {camera.focal_35mm:g} mm in full frame (EXIF)"
        )
    lacks = "focal" if focal is None else "pitch"
    raise UserError(
        f"The EXIF data of {photo.name} do not tell the {NAMES[lacks]}, expected it with the "
        "distance",
        lacks,
    )


def against_places(
    scales: Sequence[Scale | None], places: Sequence[Georeference | None]
) -> list[str]:
    """What is doubtful about scales beside georeferences in metres, which have a scale too."""
    doubts: dict[str, None] = {}
    for scale, place in zip(scales, places, strict=True):
        if place is None or not place.metres:
            continue
        mm = 1000 * place.pixel
        if scale is None:
            doubts[f"a photograph is georeferenced at {mm:.4g} mm per pixel, but has no scale"] = (
                None
            )
        elif not 0.9 < scale.mm_per_pixel / mm < 1.1:
            doubts[
                f"{scale.mm_per_pixel:.4g} mm per pixel was given for a photograph that is "
                f"georeferenced at {mm:.4g}"
            ] = None
    return list(doubts)
