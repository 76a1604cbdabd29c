"""The tables ``cracks.csv`` and ``totals.csv``, and ``cracks.geojson``, from ``cracks.json``.

CSV: UTF-8 with a byte order mark, without which Excel takes names for Latin-1; commas; decimal
points; lines end as RFC 4180 wants.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from minispiral.data.georeference import Georeference
from minispiral.files import replacing, table_text
from minispiral.measurement import geojson
from minispiral.measurement.columns import (
    CRACK_COLUMNS,
    TOTAL_COLUMNS,
    Cell,
    Column,
    CrackRow,
    PhotoRow,
)
from minispiral.measurement.results import PhotoResult, Results, relative

CRACKS, TOTALS, GEOJSON = "cracks.csv", "totals.csv", "cracks.geojson"


def write_tables(
    folder: Path, results: Results, places: Sequence[Georeference | None] = ()
) -> list[Path]:
    """Write the three files into ``folder``, each beside its place and renamed over it.

    ``places``: where the photographs of ``results`` lie in the world. One photograph is in memory
    at a time. Returns the files; raises `UserError` where one cannot be written.
    """
    paths = [folder / name for name in (CRACKS, TOTALS, GEOJSON)]
    with (
        _table(paths[0], CRACK_COLUMNS) as crack_table,
        _table(paths[1], TOTAL_COLUMNS) as totals,
        geojson.writing(paths[2], places or [None] * len(results.photos)) as features,
    ):
        for photo, rows in crack_rows(folder, results, places):
            totals.add(photo)
            for row in rows:
                crack_table.add(row)
                features(row)
    return paths


def crack_rows(
    folder: Path, results: Results, places: Sequence[Georeference | None] = ()
) -> Iterator[tuple[PhotoRow, list[CrackRow]]]:
    """The row of each photograph, and those of its cracks."""
    for index, result in enumerate(results.photos):
        photo = table_text(relative(result.photo, folder))
        place = places[index] if places else None
        yield PhotoRow(photo, result.measurement, result.error), _rows(photo, result, place)


def _rows(photo: str, result: PhotoResult, place: Georeference | None) -> list[CrackRow]:
    measured = result.measurement
    if measured is None:
        return []
    return [CrackRow(photo, measured, crack, place) for crack in measured.cracks]


class _Table:
    """A CSV file of which the header is written."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self.file, self.columns = file, columns
        self.writer = csv.writer(self)
        file.write(b"\xef\xbb\xbf")
        self.writer.writerow([column.name for column in columns])

    def write(self, text: str) -> None:
        self.file.write(text.encode("utf-8", "backslashreplace"))

    def add(self, row: CrackRow | PhotoRow) -> None:
        self.writer.writerow(cells(self.columns, row))


def cells(columns: Iterable[Column], row: CrackRow | PhotoRow) -> list[Cell]:
    """The values of a row."""
    return [column.value(row) for column in columns]


@contextmanager
def _table(path: Path, columns: Sequence[Column]) -> Iterator[_Table]:
    with replacing(path) as file:
        yield _Table(file, columns)
