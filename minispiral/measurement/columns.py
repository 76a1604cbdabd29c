"""The columns of ``cracks.csv`` and ``totals.csv``: name, unit, meaning and how each is computed.

Lengths and widths are in the row's ``unit``; what is unknown is left empty.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minispiral.data.georeference import Georeference
from minispiral.measurement.classes import WidthClasses, classes_of
from minispiral.measurement.records import MeasuredCrack, Measurement, number

Cell = str | int | float | None


@dataclass(frozen=True)
class CrackRow:
    """A crack of the photograph called ``photo``, and where that lies in the world."""

    photo: str
    measured: Measurement
    crack: MeasuredCrack
    place: Georeference | None = None


@dataclass(frozen=True)
class PhotoRow:
    """A photograph; ``measured`` is `None` where ``error`` says why."""

    photo: str
    measured: Measurement | None
    error: str | None = None


@dataclass(frozen=True)
class Column:
    """``unit``: of its numbers, ``unit`` where the row's column of that name says."""

    name: str
    unit: str
    meaning: str
    value: Callable[[Any], Cell]


def class_label(classes: WidthClasses, index: int | None) -> str | None:
    """A class in words, which no spreadsheet takes for a date: ``1-2`` would be one."""
    if index is None:
        return None
    low, high = classes.ends(index)
    if low is None:
        return f"below {high:g}"
    return f"{low:g} or more" if high is None else f"{low:g} to {high:g}"


def _width(name: str, what: str, digits: int = 4) -> list[Column]:
    """Three columns for an estimate: its value and the ends of its interval."""

    def part(end: str) -> Callable[[CrackRow], Cell]:
        def value(row: CrackRow) -> Cell:
            shown = row.measured.shown(getattr(row.crack, name))
            return number(getattr(shown, end), digits)

        return value

    column = "width_max" if name == "maximum" else f"width_{name}"
    return [
        Column(column, "unit", what, part("value")),
        Column(f"{column}_low", "unit", "lower end of its interval of 95 %", part("low")),
        Column(f"{column}_high", "unit", "upper end of its interval of 95 %", part("high")),
    ]


def _length(value: float, measured: Measurement) -> Cell:
    return number(value * measured.unit_per_pixel, 2)


def _pixel(value: float) -> Cell:
    return number(value, 1)


def _world(row: CrackRow, axis: int) -> Cell:
    if row.place is None:
        return None
    return float(row.place.world(_middle(row.crack)[None])[0, axis])


def _middle(crack: MeasuredCrack) -> Any:
    return crack.points[len(crack.points) // 2]


CRACK_COLUMNS = (
    Column("photo", "", "the photograph, as seen from the folder of the table", lambda r: r.photo),
    Column("crack", "", "number, 1 for the longest of the photograph", lambda r: r.crack.crack),
    Column(
        "branch",
        "",
        "0 for the crack's longest line, 1, 2, ... for others",
        lambda r: r.crack.branch,
    ),
    Column("unit", "", "mm, or px where no scale is known", lambda r: r.measured.unit),
    Column("length", "unit", "along the line", lambda r: _length(r.crack.length, r.measured)),
    Column(
        "bridged",
        "unit",
        "the part of the length where nothing was detected",
        lambda r: _length(r.crack.bridged, r.measured),
    ),
    *_width("mean", "mean width"),
    *_width("p95", "width that 95 % of the places stay below"),
    *_width("maximum", "largest width"),
    Column(
        "class",
        "unit",
        "class of width_p95",
        lambda r: class_label(
            classes_of(r.measured), classes_of(r.measured).of_crack(r.measured, r.crack)
        ),
    ),
    Column(
        "orientation",
        "degrees",
        "from the x axis, counter-clockwise, 0 up to 180",
        lambda r: number(r.crack.orientation, 1),
    ),
    Column(
        "probability",
        "0 to 1",
        "mean of the network's map along the line",
        lambda r: number(r.crack.probability, 3),
    ),
    Column(
        "x", "px", "middle of the line, from the left", lambda r: number(_middle(r.crack)[0], 1)
    ),
    Column("y", "px", "middle of the line, from the top", lambda r: number(_middle(r.crack)[1], 1)),
    Column("x_widest", "px", "widest place", lambda r: _pixel(r.crack.maximum_at[0])),
    Column("y_widest", "px", "widest place", lambda r: _pixel(r.crack.maximum_at[1])),
    Column("world_x", "world", "middle, if georeferenced", lambda r: _world(r, 0)),
    Column("world_y", "world", "middle, if georeferenced", lambda r: _world(r, 1)),
    Column("notes", "", "caveats", lambda r: "; ".join(r.crack.notes)),
)


def _of(value: Callable[[Measurement], Cell]) -> Callable[[PhotoRow], Cell]:
    return lambda row: None if row.measured is None else value(row.measured)


def length_per_class(measured: Measurement) -> list[float]:
    """The length of the cracks of each class, then that of cracks without a width; in its unit."""
    classes = classes_of(measured)
    sums = [0.0] * (len(classes) + 1)
    for crack in measured.cracks:
        index = classes.of_crack(measured, crack)
        sums[len(classes) if index is None else index] += crack.length * measured.unit_per_pixel
    return sums


def _class_length(index: int) -> Callable[[PhotoRow], Cell]:
    return _of(lambda m: number(length_per_class(m)[index], 2))


def _area(measured: Measurement) -> float:
    """Square metres of wall."""
    return measured.width * measured.height * (measured.unit_per_pixel / 1000) ** 2


def _density(measured: Measurement) -> Cell:
    if measured.scale is None:
        return None
    return number(sum(length_per_class(measured)) / 1000 / _area(measured), 4)


TOTAL_COLUMNS = (
    Column("photo", "", "as in cracks.csv", lambda r: r.photo),
    Column("width", "px", "of the photograph", _of(lambda m: m.width)),
    Column("height", "px", "of the photograph", _of(lambda m: m.height)),
    Column("unit", "", "mm, or px where no scale is known", _of(lambda m: m.unit)),
    Column("cracks", "", "how many", _of(lambda m: len({c.crack for c in m.cracks}))),
    Column("lines", "", "cracks and their branches", _of(lambda m: len(m.cracks))),
    Column("length", "unit", "of all lines", _of(lambda m: number(sum(length_per_class(m)), 2))),
    Column("length_class_1", "unit", "below 0.05 mm, or 0.5 px", _class_length(0)),
    Column("length_class_2", "unit", "0.05 to 0.1 mm, or 0.5 to 1 px", _class_length(1)),
    Column("length_class_3", "unit", "0.1 to 0.2 mm, or 1 to 2 px", _class_length(2)),
    Column("length_class_4", "unit", "0.2 to 0.3 mm, or 2 to 3 px", _class_length(3)),
    Column("length_class_5", "unit", "0.3 mm, or 3 px, or more", _class_length(4)),
    Column("length_unknown", "unit", "of unknown width", _class_length(5)),
    Column("area", "m2", "of the wall", _of(lambda m: number(_area(m), 6) if m.scale else None)),
    Column("density", "m/m2", "length per area of the wall", _of(_density)),
    Column(
        "mm_per_pixel",
        "mm",
        "the scale",
        _of(lambda m: number(m.scale.mm_per_pixel, 6) if m.scale else None),
    ),
    Column(
        "scale_relative_sd",
        "share",
        "standard deviation of the scale",
        _of(lambda m: number(m.scale.relative_sd, 5) if m.scale else None),
    ),
    Column(
        "scale_source", "", "what it rests on", _of(lambda m: m.scale.source if m.scale else None)
    ),
    Column(
        "contrast",
        "0 to 1",
        "share of the light that an open crack swallows",
        _of(lambda m: number(m.contrast.value, 3)),
    ),
    Column(
        "contrast_from",
        "",
        "what it rests on: card, wide places, or prior, which is nothing in this photograph",
        _of(lambda m: str(m.contrast.rests)),
    ),
    Column(
        "narrowest",
        "unit",
        "narrower cracks cannot be told from the wall's texture",
        _of(lambda m: number(m.limit * m.unit_per_pixel, 4)),
    ),
    Column(
        "caveats",
        "",
        "what the widths of the photograph suffer from",
        _of(lambda m: "; ".join(caveat.kind for caveat in m.caveats)),
    ),
    Column("error", "", "why nothing was measured", lambda r: r.error),
)
