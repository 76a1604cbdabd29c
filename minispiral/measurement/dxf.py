"""``cracks.dxf``: the cracks as a drawing, with ezdxf.

Each crack is a polyline on the layer of its width class, with its number and width beside its
widest place. If all photographs are georeferenced, coordinates are those of the world. Otherwise
the photographs stand side by side, y upwards, each in its frame: in millimetres if all have a
scale, else in pixels.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.data.georeference import Georeference
from minispiral.errors import UserError
from minispiral.files import replacing
from minispiral.measurement.classes import classes_of
from minispiral.measurement.columns import CrackRow, PhotoRow, class_label
from minispiral.measurement.records import Measurement
from minispiral.measurement.simplify import simplified

NAME = "cracks.dxf"
EXTRA = "pip install 'minispiral[dxf]'"
FRAMES, TEXTS = "PHOTOGRAPHS", "NUMBERS"
COLOURS = (8, 5, 3, 30, 1)  # of AutoCAD, for the classes: grey, blue, green, orange, red
UNKNOWN = 7  # black, or white on black
GAP = 0.05  # between photographs, as a share of the width of the one on the left
TEXT = 0.012  # height of the letters, as a share of the photograph's


@dataclass
class _Place:
    """Where a photograph stands in the drawing: pixels times ``factor``, ``left`` of it moved."""

    measured: Measurement
    factor: float
    left: float
    world: Georeference | None

    def drawn(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.world is not None:
            return self.world.world(points)
        x, y = points.T
        return np.stack([self.left + self.factor * x, self.factor * (self.measured.height - y)], 1)

    @property
    def pixel(self) -> float:
        return self.factor if self.world is None else self.world.pixel


def require_ezdxf() -> None:
    """Raises `UserError` that says what to install where ezdxf is missing."""
    try:
        import ezdxf  # noqa: F401
    except ImportError as error:
        raise UserError(f"Drawings are made with ezdxf, which is missing; {EXTRA}") from error


def write_dxf(
    folder: Path,
    rows: Iterable[tuple[PhotoRow, list[CrackRow]]],
    scaled: bool,
    places: Sequence[Georeference | None] = (),
) -> Path:
    """Write the drawing of the photographs' ``rows`` into ``folder``; returns its path.

    ``scaled``: whether all photographs have a scale; ``places``: where they lie in the world.
    Raises `UserError` where ezdxf is missing and where the file cannot be written.
    """
    require_ezdxf()
    import ezdxf
    from ezdxf import units

    drawing = ezdxf.new("R2010")
    world = bool(places) and None not in places
    metres = world and all(place is not None and place.metres for place in places)
    drawing.units = units.M if metres else units.MM if scaled and not world else 0
    for name in (FRAMES, TEXTS):
        drawing.layers.add(name, color=8)
    left = 0.0
    for index, (photo, cracks) in enumerate(rows):
        if photo.measured is None:
            continue
        factor = photo.measured.unit_per_pixel if scaled else 1.0
        place = _Place(photo.measured, factor, left, places[index] if world else None)
        _draw(drawing, photo, cracks, place)
        left += (1 + GAP) * factor * photo.measured.width
    path = folder / NAME
    with replacing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="dxfreplace", newline="\r\n")
        drawing.write(text)
        text.flush()
        text.detach()
    return path


def _draw(drawing: Any, photo: PhotoRow, cracks: list[CrackRow], place: _Place) -> None:
    space, measured = drawing.modelspace(), place.measured
    w, h = float(measured.width), float(measured.height)
    letters = TEXT * h * place.pixel
    corners = place.drawn(np.array([(0, h), (w, h), (w, 0), (0, 0)], np.float64))
    space.add_lwpolyline(corners.tolist(), close=True, dxfattribs={"layer": FRAMES})
    _write(space, photo.photo, corners[3], letters, FRAMES)
    for row in cracks:
        line = place.drawn(simplified(row.crack.points)).tolist()
        space.add_lwpolyline(line, dxfattribs={"layer": _layer(drawing, row)})
        width = measured.shown(row.crack.p95)
        said = f"{row.crack.number}: {width.value:.2f} {measured.unit}" if width.known else None
        at = np.array(row.crack.maximum_at if width.known else row.crack.points[0])
        _write(space, said or row.crack.number, place.drawn(at[None])[0], letters, TEXTS)


def _layer(drawing: Any, row: CrackRow) -> str:
    """The name of the crack's layer, which is made if it is the first of its class."""
    classes = classes_of(row.measured)
    index = classes.of_crack(row.measured, row.crack)
    label = class_label(classes, index)
    name = f"CRACKS {label} {classes.unit}" if label else "CRACKS of unknown width"
    if name not in drawing.layers:
        drawing.layers.add(name, color=UNKNOWN if index is None else COLOURS[index])
    return name


def _write(space: Any, text: str, at: NDArray[np.float64], height: float, layer: str) -> None:
    entity = space.add_text(text, height=height, dxfattribs={"layer": layer})
    entity.set_placement((float(at[0]), float(at[1])))
