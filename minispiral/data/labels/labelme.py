"""The JSON of labelme: one file for each photograph.

Since 2019 labelme shows photographs as EXIF turns them; points are in pixels of that picture,
with 0, 0 at its upper left corner. Polygons, lines and masks are taken.
"""

from __future__ import annotations

import base64
import binascii
import io
from pathlib import Path
from typing import Any

import numpy as np

from minispiral.data.labels.runs import runs_of
from minispiral.data.labels.shapes import Annotation, LabelFile, Labels, Runs, area, line
from minispiral.data.labels.values import Place

LINES = {"line", "linestrip"}
SKIPPED = {"rectangle": "box", "oriented_rectangle": "box", "point": "points"}
OTHERS = {"circle", "points"}


def read(path: Path, content: dict[str, Any]) -> LabelFile:
    """The labels in ``content``; raises `UserError` where they are not what labelme writes."""
    place = Place(path)
    width, height = content.get("imageWidth"), content.get("imageHeight")
    size = None if width is None and height is None else place.size(width, height)
    name = place.text(content.get("imagePath") or f"{path.stem}.jpg", "imagePath")
    shapes = place.entries(content["shapes"], "the list of shapes")
    annotations = [
        _annotation(place.at(f"shape {number}"), f"shape {number}", shape)
        for number, shape in enumerate(shapes, 1)
    ]
    return LabelFile(path, "labelme", [Labels(name, size, annotations)], [])


def _annotation(place: Place, item: str, value: object) -> Annotation:
    shape = place.record(value)
    label = place.text(place.member(shape, "label"), "its label")
    kind = shape.get("shape_type") or "polygon"  # files of the first versions have none
    if not isinstance(kind, str) or kind not in {"polygon", "mask", *LINES, *SKIPPED, *OTHERS}:
        raise place.wrong("its shape_type", kind, "one of labelme")
    points = place.points(place.member(shape, "points"))
    if kind == "polygon":
        return area(label, item, [[points]])
    if kind in LINES:
        return line(label, item, [points])
    if kind == "mask":
        return Annotation(label, item, _mask(place, shape.get("mask"), points))
    return Annotation(label, item, None, SKIPPED.get(kind, kind))


def _mask(place: Place, value: object, points: Any) -> Runs:
    """A mask: a PNG in base 64, which fills the pixels from the first point to the second."""
    from PIL import Image

    if len(points) != 2:
        raise place.error(f"its mask has {len(points)} points, expected 2 corners")
    (left, top), (right, bottom) = points.astype(int).tolist()
    size = place.size(right - left + 1, bottom - top + 1)
    try:
        data = base64.b64decode(place.text(value, "its mask"), validate=True)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.size != size:
                raise place.error(
                    f"its mask is {image.width} x {image.height} pixels, but its corners are "
                    f"{size[0]} x {size[1]} apart"
                )
            return runs_of(np.asarray(image.convert("L")) != 0, (left, top))
    except (binascii.Error, OSError, SyntaxError, ValueError) as error:
        raise place.error("its mask is no PNG in base 64, or damaged") from error
