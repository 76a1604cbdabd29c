"""What the page says of one photograph, in the unit in which it is shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from minispiral.errors import UserError
from minispiral.measurement.classes import WidthClasses, classes_of
from minispiral.measurement.records import Estimate, MeasuredCrack, Measurement
from minispiral.measurement.simplify import simplified
from minispiral.report.cracks import curves
from minispiral.report.cracks.photograph import Photograph
from minispiral.report.cracks.pictures import SHARE, Pictures, embed
from minispiral.report.page import printable


@dataclass(frozen=True)
class Row:
    """A crack in the table and in the picture.

    ``order``: by which numbers are sorted. ``kind``: its class, `None` where its width is unknown.
    ``path``: its course as an SVG path, and ``at`` where its number stands, in pixels of the
    photograph; the rest in the unit shown.
    """

    number: str
    order: float
    kind: int | None
    p95: Estimate
    mean: Estimate
    maximum: Estimate
    length: float
    bridged: float
    orientation: float
    probability: float
    notes: tuple[str, ...]
    path: str
    at: tuple[float, float]


@dataclass(frozen=True)
class Section:
    """A photograph of the page. ``pictures``: `None` where it could not be read."""

    index: int
    name: str
    measurement: Measurement
    classes: WidthClasses
    rows: tuple[Row, ...]
    notices: tuple[str, ...]
    pictures: Pictures | None
    figures: str  # JSON, for the scripts
    images: str  # JSON, the large part

    @property
    def unit(self) -> str:
        return self.measurement.unit

    @property
    def digits(self) -> int:
        """Decimals of widths."""
        return 1 if self.unit == "px" else 2

    @property
    def length(self) -> float:
        return sum(row.length for row in self.rows)

    @property
    def density(self) -> float:
        """Metres of crack per square metre of what is seen; NaN without a scale."""
        if self.measurement.scale is None:
            return float("nan")
        mm = self.measurement.scale.mm_per_pixel
        area = self.measurement.width * self.measurement.height * mm**2
        return 1000 * self.length / area


def section(
    index: int, photograph: Photograph, levels: Sequence[float], share: int = SHARE
) -> Section:
    """Read a photograph and make its part of the page, of at most about ``share`` bytes.

    A photograph that cannot be read keeps its table and a notice takes the place of the picture.
    """
    measured = photograph.measurement
    classes = classes_of(measured)
    rows = rows_of(measured, classes)
    figures = {
        "width": measured.width,
        "height": measured.height,
        "unit": measured.unit,
        "perPixel": measured.unit_per_pixel,
        "bounds": classes.bounds,
        "limit": _or_none(measured.limit * measured.unit_per_pixel),
        "cracks": [_figure(measured, crack, classes) for crack in _by_width(measured)],
    }
    notices, pictures = photograph.notices, None
    try:
        pictures = embed(*photograph.read(), measured.cracks, levels, share)
    except UserError as error:
        notices += (f"The photograph is not shown: {error}.",)
    images: dict[str, Any] = {}
    if pictures:
        images = {
            "reduction": pictures.reduction,
            "chances": pictures.chances,
            "tiles": pictures.tiles,
        }
    return Section(
        index,
        printable(photograph.name),
        measured,
        classes,
        rows,
        notices,
        pictures,
        _json(figures),
        _json(images),
    )


def rows_of(measured: Measurement, classes: WidthClasses) -> tuple[Row, ...]:
    """The cracks, the widest first, those of unknown width last."""
    return tuple(
        Row(
            crack.number,
            crack.crack + crack.branch / 10_000,
            classes.of_crack(measured, crack),
            measured.shown(crack.p95),
            measured.shown(crack.mean),
            measured.shown(crack.maximum),
            crack.length * measured.unit_per_pixel,
            crack.bridged * measured.unit_per_pixel,
            crack.orientation,
            crack.probability,
            crack.notes,
            curves.path(simplified(crack.points)),
            _label_at(crack),
        )
        for crack in _by_width(measured)
    )


def _by_width(measured: Measurement) -> list[MeasuredCrack]:
    def width(crack: MeasuredCrack) -> tuple[float, float]:
        return (crack.p95.value if crack.p95.known else -1.0, crack.length)

    return sorted(measured.cracks, key=width, reverse=True)


def _label_at(crack: MeasuredCrack) -> tuple[float, float]:
    """The widest place, else the middle of the line."""
    if all(isfinite(value) for value in crack.maximum_at):
        return crack.maximum_at
    x, y = crack.points[len(crack.points) // 2]
    return float(x), float(y)


def _figure(measured: Measurement, crack: MeasuredCrack, classes: WidthClasses) -> dict[str, Any]:
    """What the scripts compute with; ``step``: the length for which each of ``widths`` stands."""
    places, per_pixel = crack.places, measured.unit_per_pixel
    counted = places.counted & np.isfinite(places.width)
    step = float(np.median(np.diff(places.at))) if len(places.at) > 1 else crack.length
    (left, top), (right, bottom) = crack.points.min(axis=0), crack.points.max(axis=0)
    return {
        "number": crack.number,
        "kind": classes.of_crack(measured, crack),
        "probability": _or_none(crack.probability),
        "length": round(crack.length * per_pixel, 2),
        "box": [round(float(value), 1) for value in (left, top, right, bottom)],
        "step": round(step * per_pixel, 3),
        "widths": (places.width[counted] * per_pixel).round(4).tolist(),
    }


def _or_none(value: float) -> float | None:
    return value if isfinite(value) else None


def _json(value: object) -> str:
    """JSON that may stand in a script element: nothing in it closes the element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
