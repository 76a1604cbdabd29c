"""The readings of crack cards, photograph by photograph."""

from collections.abc import Sequence
from pathlib import Path

from minispiral.data.camera import camera_of
from minispiral.errors import UserError
from minispiral.measurement.contrast import Reading
from minispiral.measurement.scale import Scale
from minispiral.measurement.scales import check_inside
from minispiral.measurement.user_table import UserRow, by_photo, read_table

Readings = list[tuple[Reading, ...]]


def readings_of(
    photos: Sequence[Path],
    scales: Sequence[Scale | None],
    given: Sequence[tuple[float, float, float]] = (),
    table: Path | None = None,
    as_stored: bool = False,
) -> tuple[Readings, list[str]]:
    """The readings of each photograph, and what is doubtful about them.

    ``given``: x, y in pixels and width in mm, of the only photograph. ``table``: a CSV file with
    photo, x, y, mm and, if known, sd_mm. Raises `UserError` for readings of several photographs
    without a table, outside their photograph, or of a photograph without a scale.
    """
    if given and len(photos) > 1:
        raise UserError(
            f"A reading was given for {len(photos)} photographs, expected one photograph or a "
            "table of readings",
            "readings",
        )
    found: dict[int, list[Reading]] = {0: [Reading(*each) for each in given]} if given else {}
    doubts: list[str] = []
    if table is not None:
        lines = read_table(table, ("x", "y", "mm"), ("sd_mm",), "readings_table")
        named, doubts = by_photo(lines, photos, table, "readings_table")
        for index, rows in named.items():
            found.setdefault(index, []).extend(_reading(table, row) for row in rows)
    for index, here in found.items():
        parameter = "readings" if given else "readings_table"
        if scales[index] is None:
            raise UserError(
                f"A reading in millimetres was given for {photos[index].name} without its scale",
                "scale",
            )
        camera = camera_of(photos[index], as_stored)
        for reading in here:
            check_inside(photos[index], camera, reading.x, reading.y, parameter)
    return [tuple(found.get(index, ())) for index in range(len(photos))], doubts


def _reading(table: Path, row: UserRow) -> Reading:
    try:
        return Reading(**row.values)
    except UserError as error:
        raise UserError(f"{table}, line {row.line}: {error}", "readings_table") from error
