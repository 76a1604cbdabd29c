"""``cracks.geojson``: each crack as a line, with the columns of ``cracks.csv`` as properties.

Coordinates are those of the world where a photograph is georeferenced, otherwise pixels: x to the
right, y down from the top left corner. Each feature says which in ``coordinates``. The member
``crs`` (of GeoJSON 2008, which GDAL, QGIS and geopandas still read) names the coordinate reference
system that all photographs have in common. Without it these programs take the numbers for degrees,
as RFC 7946 says, pixels too: nothing that the file could say would hinder them.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minispiral.data.georeference import Georeference
from minispiral.files import replacing_list
from minispiral.measurement.columns import CRACK_COLUMNS, CrackRow
from minispiral.measurement.simplify import simplified

POSITIONS = ("x", "y", "x_widest", "y_widest", "world_x", "world_y")
TOLERANCE = 0.1  # px, between the line and the crack's centre line


@contextmanager
def writing(
    path: Path, places: Sequence[Georeference | None]
) -> Iterator[Callable[[CrackRow], None]]:
    """Write the file with a function that adds a crack; it takes its place when all are written."""
    system = _crs(places)
    head = {"type": "FeatureCollection"} | ({"crs": system} if system else {})
    with replacing_list(path, head, "features") as add:
        yield lambda row: add(json.dumps(feature(row), allow_nan=False))


def feature(row: CrackRow) -> dict[str, Any]:
    """A crack as a GeoJSON feature."""
    points = simplified(row.crack.points, TOLERANCE)
    placed = points.round(2) if row.place is None else row.place.world(points)
    properties = {
        column.name: column.value(row) for column in CRACK_COLUMNS if column.name not in POSITIONS
    }
    return {
        "type": "Feature",
        "geometry": {"type": "LineString", "coordinates": placed.tolist()},
        "properties": {
            **properties,
            "number": row.crack.number,
            "coordinates": "pixel" if row.place is None else "world",
        },
    }


def _crs(places: Sequence[Georeference | None]) -> dict[str, Any] | None:
    """The reference system of all photographs, if they have one in common."""
    numbers = {None if place is None else place.epsg for place in places}
    if len(numbers) != 1 or None in numbers:
        return None
    return {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{numbers.pop()}"}}
