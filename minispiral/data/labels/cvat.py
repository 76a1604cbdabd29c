"""CVAT for images 1.1 (docs.cvat.ai, "XML annotation format"): one file for many photographs.

Polygons, polylines and masks are taken. 0, 0 is the upper left corner of the first pixel of the
photograph as it is shown: since 2022 CVAT heeds EXIF, before it did not.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from minispiral.data.labels.runs import checked_runs
from minispiral.data.labels.shapes import Annotation, LabelFile, Labels, Points, Runs, area, line
from minispiral.data.labels.values import Place
from minispiral.errors import UserError

SKIPPED = {"box", "ellipse", "points", "cuboid", "skeleton", "tag"}


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses declarations of entities, of which a few can stand for gigabytes."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("it declares a document type, which CVAT does not")


def read(path: Path) -> LabelFile:
    """The labels in a file; raises `UserError` where they are not what CVAT writes."""
    root = _root(path)
    place = Place(path)
    if root.tag != "annotations":
        raise place.error(
            f"its outermost element is <{root.tag}>, expected <annotations> as CVAT writes it"
        )
    if root.find("track") is not None:
        raise place.error("holds tracks of a video; export it as 'CVAT for images 1.1'")
    photos = [
        _photo(place.at(f"image {image.get('id', number)}"), image)
        for number, image in enumerate(root.iter("image"))
    ]
    classes = [name.text.strip() for name in root.iterfind(".//label/name") if name.text]
    return LabelFile(path, "CVAT", photos, classes)


def _root(path: Path) -> Element:
    try:
        parser = ElementTree.XMLParser(target=_NoDoctype())
        return ElementTree.parse(path, parser).getroot()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UserError(
            f"{path} is no XML of CVAT ({error}), it seems truncated or corrupt; export it again"
        ) from error
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}") from error


def _photo(place: Place, image: Element) -> Labels:
    name = place.text(image.get("name"), "its name")
    size = place.size(image.get("width"), image.get("height"))
    found: list[Annotation] = []
    for number, element in enumerate(image, 1):
        item = f"{element.tag} {number}"
        found.append(_annotation(place.at(item), f"{place.item}, {item}", element))
    return Labels(name, size, found)


def _annotation(place: Place, item: str, element: Element) -> Annotation:
    kind = element.tag
    label = place.text(element.get("label"), "its label")
    if kind in SKIPPED:
        return Annotation(label, item, None, kind)
    if kind == "mask":
        return Annotation(label, item, _mask(place, element))
    if kind not in ("polygon", "polyline"):
        raise place.error(f"<{kind}> is no shape of CVAT")
    points = _points(place, element.get("points"))
    return area(label, item, [[points]]) if kind == "polygon" else line(label, item, [points])


def _points(place: Place, text: object) -> Points:
    """``x,y;x,y;...``"""
    pairs = place.text(text, "the list of points").split(";")
    rows = [place.words(pair.replace(",", " "), "a point") for pair in pairs if pair.strip()]
    for row in rows:
        if len(row) != 2:
            raise place.wrong("a point", row, "two numbers, x and y")
    return place.pairs([number for row in rows for number in row])


def _mask(place: Place, element: Element) -> Runs:
    """Run lengths along the rows of a part of the photograph."""
    left, top = (place.whole(element.get(side), side) for side in ("left", "top"))
    size = place.size(element.get("width"), element.get("height"))
    words = place.text(element.get("rle"), "its rle").replace(",", " ").split()
    lengths = [place.whole(word, "a run") for word in words]
    return Runs(checked_runs(lengths, size, place), size, (left, top), by_rows=True)
