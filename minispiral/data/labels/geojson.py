"""GeoJSON (RFC 7946) in pixels: x to the right, y down from the upper left corner.

So are the lines of the ``cracks.geojson`` that a detection writes. A feature says in its property
``photo`` to which photograph it belongs, otherwise the file has the photograph's name. QGIS draws
pictures without georeference below the axis: where every y is negative, y is taken as upwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from minispiral.data.labels.shapes import (
    CRACK,
    Annotation,
    Area,
    LabelFile,
    Labels,
    Line,
    Points,
    area,
    line,
)
from minispiral.data.labels.values import Place

PHOTO = ("photo", "image", "file_name")
CLASS = ("label", "class", "classification")
T = TypeVar("T")
MOST = 4  # numbers of a position: x, y, height, measure


def read(path: Path, content: dict[str, Any]) -> LabelFile:
    """The labels in ``content``; raises `UserError` where they are no GeoJSON in pixels."""
    place = Place(path)
    photos: dict[str, list[Annotation]] = {}
    for number, feature in enumerate(_features(place, content), 1):
        here = place.at(f"feature {number}")
        record = here.record(feature)
        properties = here.record(record.get("properties") or {}, "properties")
        if properties.get("coordinates") == "world":
            raise here.error("its coordinates are those of the world, expected pixels")
        annotation = _annotation(here, record.get("geometry"), _label(here, properties))
        photos.setdefault(_photo(here, properties) or path.stem, []).append(annotation)
    notes = []
    if _all_above(photos):
        notes.append("every y is negative, as in QGIS: taken as pixels below the upper edge")
        photos = {name: [_flipped(one) for one in found] for name, found in photos.items()}
    labels = [Labels(name, None, found) for name, found in photos.items()]
    return LabelFile(path, "GeoJSON", labels, [], notes)


def _features(place: Place, content: dict[str, Any]) -> list[Any]:
    if content["type"] == "FeatureCollection":
        return place.entries(place.member(content, "features"), "features")
    return [content if content["type"] == "Feature" else {"geometry": content}]


def _photo(place: Place, properties: dict[str, Any]) -> str | None:
    for name in PHOTO:
        if properties.get(name) is not None:
            return place.text(properties[name], f"its {name}")
    return None


def _label(place: Place, properties: dict[str, Any]) -> str:
    """The class; in the file of a detection, ``class`` is one of widths."""
    if "coordinates" in properties:
        return CRACK
    for name in CLASS:
        value = properties.get(name)
        if isinstance(value, dict):  # as QuPath has it
            value = value.get("name")
        if value is not None:
            return place.text(str(value) if type(value) is int else value, f"its {name}")
    return CRACK


def _annotation(place: Place, value: object, label: str) -> Annotation:
    if value is None:
        return Annotation(label, place.item, None, "no geometry")
    geometry = place.record(value, "its geometry")
    kind = place.member(geometry, "type")
    if kind in ("Point", "MultiPoint"):
        return Annotation(label, place.item, None, "points")
    if kind == "GeometryCollection":
        return Annotation(label, place.item, None, "collection")
    parts = place.member(geometry, "coordinates")
    if kind == "LineString":
        return line(label, place.item, [_points(place, parts)])
    if kind == "MultiLineString":
        return line(label, place.item, _each(place, parts, _points))
    if kind == "Polygon":
        return area(label, place.item, [_each(place, parts, _points)])
    if kind == "MultiPolygon":
        polygons = _each(place, parts, lambda place, part: _each(place, part, _points))
        return area(label, place.item, polygons)
    raise place.wrong("its geometry's type", kind, "one of RFC 7946")


def _points(place: Place, value: object) -> Points:
    return place.points(value, most=MOST)


def _each(place: Place, value: object, read: Callable[[Place, object], T]) -> list[T]:
    return [read(place, part) for part in place.entries(value, "its coordinates")]


def _rings(annotation: Annotation) -> Iterator[Points]:
    if isinstance(annotation.shape, Area):
        yield from (ring for polygon in annotation.shape.polygons for ring in polygon)
    elif isinstance(annotation.shape, Line):
        yield from annotation.shape.polylines


def _all_above(photos: dict[str, list[Annotation]]) -> bool:
    """Whether everything lies above the photograph."""
    rings = [ring for found in photos.values() for one in found for ring in _rings(one)]
    heights = np.concatenate([ring[:, 1] for ring in rings]) if rings else np.zeros(1)
    return bool(heights.max() <= 0 and heights.min() < -1)


def _flipped(annotation: Annotation) -> Annotation:
    for ring in _rings(annotation):
        ring[:, 1] *= -1
    return annotation
