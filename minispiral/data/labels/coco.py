"""COCO JSON (cocodataset.org/#format-data): one file for many photographs.

Polygons and run lengths, compressed or not, are taken. 0, 0 is the upper left corner of the first
pixel. The polygons of one annotation are its parts: they are all filled.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minispiral.data.labels.runs import checked_runs, decompressed
from minispiral.data.labels.shapes import Annotation, LabelFile, Labels, Runs, Size, area
from minispiral.data.labels.values import Place, shown

Key = int | str


def read(path: Path, content: dict[str, Any]) -> LabelFile:
    """The labels in ``content``; raises `UserError` where they are not as COCO has them."""
    place = Place(path)
    names = {
        key: entry_place.text(entry_place.member(entry, "name"), "its name")
        for key, entry, entry_place in _entries(place, content, "categories", "category")
    }
    photos: dict[Key, Labels] = {}
    lists: dict[Key, list[Annotation]] = {}
    for key, entry, entry_place in _entries(place, content, "images", "image"):
        name = entry_place.text(entry_place.member(entry, "file_name"), "its file_name")
        width, height = (entry_place.member(entry, side) for side in ("width", "height"))
        lists[key] = []
        photos[key] = Labels(name, entry_place.size(width, height), lists[key])
    for key, entry, entry_place in _entries(place, content, "annotations", "annotation"):
        image = _key(entry_place, entry, "image_id")
        category = _key(entry_place, entry, "category_id")
        if image not in photos:
            raise entry_place.error(f"there is no image {shown(image)}, its image_id")
        if category not in names:
            raise entry_place.error(f"there is no category {shown(category)}, its category_id")
        size = photos[image].size
        assert size is not None
        lists[image].append(
            _annotation(entry_place, f"annotation {key}", names[category], entry, size)
        )
    return LabelFile(path, "COCO", list(photos.values()), list(names.values()))


def _entries(
    place: Place, content: dict[str, Any], part: str, kind: str
) -> Iterator[tuple[Key, dict[str, Any], Place]]:
    """The objects of a list with their ids, of which only annotations may share or lack one."""
    found: set[Key] = set()
    for number, value in enumerate(place.entries(place.member(content, part), part), 1):
        numbered = place.at(f"{kind} number {number}")
        entry = numbered.record(value)
        if kind == "annotation" and entry.get("id") is None:
            yield f"number {number}", entry, numbered
            continue
        key = _key(numbered, entry, "id")
        if key in found and kind != "annotation":
            raise numbered.error(f"its id {shown(key)} is that of another {kind}")
        found.add(key)
        yield key, entry, place.at(f"{kind} {key}")


def _key(place: Place, entry: dict[str, Any], name: str) -> Key:
    value = place.member(entry, name)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise place.wrong(f"its {name}", value, "a whole number")
    return value


def _annotation(
    place: Place, item: str, label: str, entry: dict[str, Any], size: Size
) -> Annotation:
    outline = entry.get("segmentation")
    if not outline:
        return Annotation(label, item, None, "box" if entry.get("bbox") else "no outline")
    if isinstance(outline, dict):
        return Annotation(label, item, _runs(place, outline, size))
    rings = [
        place.pairs(place.numbers(part, "its segmentation"))
        for part in place.entries(outline, "its segmentation")
    ]
    return area(label, item, [[ring] for ring in rings])


def _runs(place: Place, outline: dict[str, Any], size: Size) -> Runs:
    """Run lengths down the columns, of a mask as large as the photograph."""
    height, width = (
        place.whole(value, "its size") for value in _two(place, place.member(outline, "size"))
    )
    if (width, height) != size:
        raise place.error(
            f"its mask is {width} x {height} pixels, but the image is {size[0]} x {size[1]}"
        )
    counts = place.member(outline, "counts")
    if isinstance(counts, str):
        lengths = decompressed(counts, place)
    else:
        lengths = [place.whole(count, "a run") for count in place.entries(counts, "its counts")]
    return Runs(checked_runs(lengths, size, place), size)


def _two(place: Place, value: object) -> list[Any]:
    if len(found := place.entries(value, "its size")) != 2:
        raise place.wrong("its size", value, "height and width")
    return found
