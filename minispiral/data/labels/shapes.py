"""What is labelled in a photograph, whatever the format of the file that says so.

Coordinates are x to the right and y down, in pixels from the upper left corner of the photograph;
the centre of its first pixel is 0.5, 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]  # (n, 2): x, y
Size = tuple[int, int]  # width, height

CRACK = "crack"  # the class of what has none


@dataclass(frozen=True)
class Area:
    """Polygons that are filled; of each the first ring is its border, the others are holes."""

    polygons: Sequence[Sequence[Points]]


@dataclass(frozen=True)
class Line:
    """Polylines, drawn with the width that the user gives."""

    polylines: Sequence[Points]


@dataclass(frozen=True)
class Runs:
    """A mask of ``size`` whose first pixel is at ``corner`` (x, y) of the photograph.

    ``lengths`` are those of runs of equal pixels, of which the first are background. Runs go down
    the columns (COCO) or, with ``by_rows``, along the rows (CVAT).
    """

    lengths: NDArray[np.int64]
    size: Size
    corner: tuple[int, int] = (0, 0)
    by_rows: bool = False


Shape = Area | Line | Runs


@dataclass(frozen=True)
class Annotation:
    """Something that was labelled as ``label``; ``item`` says where in the file.

    Without a ``shape`` nothing of it can be drawn, for the ``reason`` given.
    """

    label: str
    item: str
    shape: Shape | None
    reason: str = ""


def area(label: str, item: str, polygons: Sequence[Sequence[Points]]) -> Annotation:
    """Polygons, of which those of fewer than 3 points are left out."""
    real = [rings for rings in polygons if rings and len(rings[0]) >= 3]
    if not real:
        return Annotation(label, item, None, "polygon of fewer than 3 points")
    return Annotation(label, item, Area(real))


def line(label: str, item: str, polylines: Sequence[Points]) -> Annotation:
    """Polylines, of which those of fewer than 2 points are left out."""
    real = [points for points in polylines if len(points) >= 2]
    if not real:
        return Annotation(label, item, None, "line of fewer than 2 points")
    return Annotation(label, item, Line(real))


@dataclass(frozen=True)
class Labels:
    """What a file says of one photograph.

    ``photo`` is the photograph's name as the file has it, with or without folders and suffix;
    ``size`` is None where the file does not tell. ``relative`` coordinates are fractions of width
    and height.
    """

    photo: str
    size: Size | None
    annotations: Sequence[Annotation]
    relative: bool = False


@dataclass(frozen=True)
class LabelFile:
    """A file of labels: its format, what it says of each photograph, and the classes it knows.

    ``notes`` are for the user: how something doubtful was understood.
    """

    path: Path
    format: str
    labels: Sequence[Labels]
    classes: Sequence[str]
    notes: Sequence[str] = ()
