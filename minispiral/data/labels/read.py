"""Any file of labels: its format is told by its content."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minispiral.data.formats import files_in
from minispiral.data.labels import coco, cvat, geojson, labelme, yolo
from minispiral.data.labels.shapes import LabelFile
from minispiral.data.labels.values import read_json
from minispiral.errors import UserError

SUFFIXES = {".json", ".geojson", ".xml", ".txt"}
GEOJSON = {"FeatureCollection", "Feature"} | {
    f"{many}{kind}" for many in ("", "Multi") for kind in ("Point", "LineString", "Polygon")
}
KNOWN = "labelme, COCO, CVAT for images, YOLO segmentation or GeoJSON"


def read_labels(path: Path) -> LabelFile:
    """The labels in a file; raises `UserError` where they cannot be understood."""
    suffix = path.suffix.lower()
    if suffix == ".xml":
        return cvat.read(path)
    if suffix == ".txt":
        return yolo.read(path)
    if suffix == ".zip":
        raise UserError(f"{path} is an archive; unpack it and give the file of labels in it")
    if suffix not in SUFFIXES:
        raise _unknown(path, f"ends in {suffix}" if suffix else "has no suffix")
    return _of_json(path, read_json(path))


def _of_json(path: Path, content: Any) -> LabelFile:
    if isinstance(content, list):
        raise _unknown(path, "is a list, as results of COCO and exports of Label Studio are")
    if not isinstance(content, dict):
        raise _unknown(path, "is no JSON object")
    if "shapes" in content:
        return labelme.read(path, content)
    if "images" in content and "annotations" in content:
        return coco.read(path, content)
    if isinstance(kind := content.get("type"), str) and kind in GEOJSON:
        return geojson.read(path, content)
    names = ", ".join(map(repr, list(content)[:4]))
    raise _unknown(path, f"has {names}" if names else "is empty")


def _unknown(path: Path, what: str) -> UserError:
    return UserError(f"{path} {what}, expected labels of {KNOWN}; export them as one of these")


def label_files(arguments: Iterable[Path]) -> list[Path]:
    """The files that files and folders stand for, each once.

    A folder stands for what it holds with a suffix of the known formats. Lists of the names of
    classes are left out. Raises `UserError` for an argument that stands for nothing.
    """
    found: dict[str, Path] = {}
    for argument in arguments:
        paths = [argument]
        if argument.is_dir():
            paths = [path for path in files_in(argument) if path.suffix.lower() in SUFFIXES]
        elif not os.path.lexists(argument):
            raise UserError(
                f"There is no file {argument}; give files of labels or a folder of them"
            )
        labels = [path for path in paths if path.name not in yolo.LISTS]
        if not labels:
            raise UserError(f"{argument} holds no labels; expected those of {KNOWN}")
        for path in labels:
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())
