"""Tables that a person wrote for a folder of photographs: a row a photograph, or several."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from minispiral.data.formats import same_name
from minispiral.errors import UserError


@dataclass(frozen=True)
class UserRow:
    """Row ``line`` of a table: the photograph it names, and its numbers by column."""

    line: int
    photo: str
    values: dict[str, float]


def read_table(
    path: Path, needed: Sequence[str], optional: Sequence[str], parameter: str
) -> list[UserRow]:
    """The rows of a CSV file with the columns ``photo``, ``needed`` and perhaps ``optional``.

    Commas between the columns; or semicolons, then decimal commas are read too, as spreadsheets
    write them where those are usual. Raises `UserError`, with ``parameter``, for a file that cannot
    be read, missing columns and cells that are no numbers.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not in UTF-8"
        raise UserError(f"{path} could not be read ({reason})", parameter) from error
    semicolons = ";" in text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text), delimiter=";" if semicolons else ",")
    header = [cell.strip().lower() for cell in next(rows, [])]
    wanted = ["photo", *needed]
    if missing := [name for name in wanted if name not in header]:
        raise UserError(
            f"{path} has no column {' and '.join(missing)}, expected a first line "
            f"{','.join(wanted)}{''.join(f'[,{name}]' for name in optional)}",
            parameter,
        )
    found = []
    for cells in rows:
        if any(cell.strip() for cell in cells):
            row = dict(zip(header, map(str.strip, cells), strict=False))
            found.append(_row(path, rows.line_num, row, needed, optional, semicolons, parameter))
    return found


def _row(
    path: Path,
    line: int,
    row: dict[str, str],
    needed: Sequence[str],
    optional: Sequence[str],
    decimal_comma: bool,
    parameter: str,
) -> UserRow:
    values = {}
    for name in (*needed, *optional):
        cell = row.get(name, "")
        if not cell and name in optional:
            continue
        try:
            values[name] = float(cell.replace(",", ".") if decimal_comma else cell)
        except ValueError as error:
            raise UserError(
                f"{path} has {cell!r} as {name} in line {line}, expected a number", parameter
            ) from error
    return UserRow(line, row.get("photo", ""), values)


def by_photo(
    rows: Sequence[UserRow], photos: Sequence[Path], path: Path, parameter: str
) -> tuple[dict[int, list[UserRow]], list[str]]:
    """The rows of each photograph, by its index, and a sentence for each that names none of them.

    A row names a photograph by its file's name or by the end of its path. Raises `UserError` for a
    row that names several.
    """
    names = [same_name(photo.absolute().as_posix()) for photo in photos]
    found: dict[int, list[UserRow]] = {}
    doubts = []
    for row in rows:
        name = same_name(Path(row.photo).as_posix())
        here = list(_named(name, names)) if row.photo else []
        if len(here) > 1:
            raise UserError(
                f"{path} has {row.photo} in line {row.line}, of which there are {len(here)}, "
                "expected the folder too, such as north/wall.jpg",
                parameter,
            )
        for index in here:
            found.setdefault(index, []).append(row)
        if not here:
            named = row.photo or "no name"
            doubts.append(f"{path.name}, line {row.line}: {named} is none of the photographs")
    return found, doubts


def _named(name: str, names: Sequence[str]) -> Iterator[int]:
    for index, each in enumerate(names):
        if each == name or each.endswith("/" + name):
            yield index
