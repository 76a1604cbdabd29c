"""Text files of YOLO segmentation: one for each photograph, with its name.

A line is the number of a class and x, y, x, y, ... of a polygon, as fractions of width and height
of the photograph as it is shown. The names of the classes are in a ``data.yaml``, ``classes.txt``
or ``obj.names`` in the folder of the file or one above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from minispiral.data.labels.shapes import Annotation, LabelFile, Labels, area
from minispiral.data.labels.values import Place, read_text, shown
from minispiral.errors import UserError

YAML = ("data.yaml", "data.yml", "dataset.yaml")
LISTS = ("classes.txt", "obj.names")
LEVELS = 4  # folders that are searched for the names: that of the file and those above it
FARTHEST = 2.0  # widths or heights of the photograph; beyond it the numbers are pixels


def read(path: Path) -> LabelFile:
    """The labels in a file; raises `UserError` where they are not those of YOLO."""
    classes = class_names(path.parent.absolute())
    annotations = [
        _annotation(Place(path, f"line {number}"), line.split(), classes)
        for number, line in enumerate(read_text(path).splitlines(), 1)
        if line.strip()
    ]
    return LabelFile(path, "YOLO", [Labels(path.stem, None, annotations, True)], classes or [])


def _annotation(place: Place, words: Sequence[str], classes: Sequence[str] | None) -> Annotation:
    number = place.whole(words[0], "its class")
    if number < 0 or (classes is not None and number >= len(classes)):
        known = "" if classes is None else f", there are {len(classes)}"
        raise place.error(f"there is no class {number}{known}")
    label = str(number) if classes is None else classes[number]
    numbers = place.words(" ".join(words[1:]), "the polygon")
    if len(numbers) == 4:  # centre, width and height
        return Annotation(label, place.item, None, "box")
    points = place.pairs(numbers)
    if points.size and abs(points).max() > FARTHEST:
        raise place.error(
            f"a coordinate is {abs(points).max():g}, expected fractions of width and height"
        )
    return area(label, place.item, [[points]])


@cache
def class_names(folder: Path) -> list[str] | None:
    """The names of the classes, from the nearest file that has them; None if there is none.

    Raises `UserError` if the file cannot be understood.
    """
    for place in [folder, *folder.parents][:LEVELS]:
        for name in YAML:
            if (path := place / name).is_file():
                return _names_of_yaml(path)
        for name in LISTS:
            if (path := place / name).is_file():
                return [line.strip() for line in read_text(path).splitlines() if line.strip()]
    return None


def _names_of_yaml(path: Path) -> list[str]:
    """The list ``names`` of a file, or its mapping from 0, 1, ..."""
    try:
        import yaml
    except ImportError as error:
        raise UserError(
            f"The names of the classes are in {path}, which needs PyYAML; install it with "
            "`pip install 'minispiral[labels]'` or list the names in a classes.txt beside it"
        ) from error
    try:
        content: Any = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is no YAML ({reason}); export it again") from error
    place = Place(path)
    names = place.member(place.record(content), "names")
    if isinstance(names, dict):
        if sorted(map(str, names)) != sorted(map(str, range(len(names)))):
            raise place.error(f"numbers its classes {shown(list(names))}, expected 0, 1, ...")
        names = [name for _, name in sorted((int(key), name) for key, name in names.items())]
    return [place.text(str(name), "a name") for name in place.entries(names, "names")]
