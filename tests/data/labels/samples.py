"""Labels of a photograph of 70 x 45 pixels as each program writes them, with all kinds of shapes.

The layout of labelme 6.3, CVAT 2, pycocotools and Ultralytics; the numbers are of no picture.
No centre of a pixel lies on a border, or 1.5 from a line.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (70, 45)
BORDER = [[10.5, 8.25], [40.0, 5.0], [60.75, 30.5], [20.0, 41.0]]
TRACE = [[2.25, 3.5], [30.25, 20.0], [68.25, 22.5]]
PART = [[30.0, 30.0], [39.75, 33.0], [33.25, 43.5]]


def flat(points: list[list[float]]) -> list[float]:
    return [number for point in points for number in point]


def labelme() -> dict[str, Any]:
    def shape(kind: str, points: list[list[float]], label: str = "crack") -> dict[str, Any]:
        return {
            "label": label,
            "points": points,
            "group_id": None,
            "description": "",
            "shape_type": kind,
            "flags": {},
            "mask": None,
        }

    return {
        "version": "6.3.1",
        "flags": {},
        "shapes": [
            shape("polygon", BORDER),
            shape("linestrip", TRACE),
            shape("line", TRACE[:2]),
            shape("rectangle", BORDER[:2]),
            shape("circle", BORDER[:2]),
            shape("point", BORDER[:1]),
            shape("polygon", PART, "joint"),
        ],
        "imagePath": "..\\images\\wall.jpg",
        "imageData": None,
        "imageHeight": SIZE[1],
        "imageWidth": SIZE[0],
    }


def coco() -> dict[str, Any]:
    def annotation(number: int, outline: Any, category: int = 1) -> dict[str, Any]:
        return {
            "id": number,
            "image_id": 11,
            "category_id": category,
            "segmentation": outline,
            "area": 1.0,
            "bbox": [1.0, 2.0, 3.0, 4.0],
            "iscrowd": 0,
        }

    return {
        "info": {"year": 2026},
        "licenses": [],
        "images": [{"id": 11, "width": SIZE[0], "height": SIZE[1], "file_name": "wall.jpg"}],
        "annotations": [
            annotation(1, [flat(BORDER), flat(PART)]),
            annotation(2, {"size": [45, 70], "counts": [100, 20, 30, 5, 2995]}),
            annotation(3, {"size": [45, 70], "counts": "f4d0j2d0Zb1oNb^OJ"}),
            annotation(4, []),
            annotation(5, [flat(PART)], 2),
        ],
        "categories": [
            {"id": 1, "name": "crack", "supercategory": "damage"},
            {"id": 2, "name": "joint", "supercategory": ""},
        ],
    }


def geojson() -> dict[str, Any]:
    def feature(kind: str, coordinates: Any, label: str = "crack") -> dict[str, Any]:
        return {
            "type": "Feature",
            "properties": {"label": label, "photo": "../photos/wall.jpg"},
            "geometry": {"type": kind, "coordinates": coordinates},
        }

    return {
        "type": "FeatureCollection",
        "features": [
            feature("Polygon", [[*BORDER, BORDER[0]], [*PART, PART[0]]]),
            feature("MultiPolygon", [[[*PART, PART[0]]], [[*BORDER, BORDER[0]]]]),
            feature("LineString", TRACE),
            feature("MultiLineString", [TRACE, BORDER]),
            feature("Point", TRACE[0]),
            feature("LineString", PART, "joint"),
        ],
    }


def cvat() -> str:
    def points(shape: list[list[float]]) -> str:
        return ";".join(f"{x:.2f},{y:.2f}" for x, y in shape)

    rest = 'source="manual" occluded="0"'
    return f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <job>
      <labels>
        <label><name>crack</name><color>#fa3253</color><type>any</type></label>
        <label><name>joint</name><color>#33ddff</color><type>any</type></label>
      </labels>
    </job>
  </meta>
  <image id="0" name="pier/wall.jpg" width="{SIZE[0]}" height="{SIZE[1]}">
    <polygon label="crack" {rest} points="{points(BORDER)}" z_order="0">
      <attribute name="severity">high</attribute>
    </polygon>
    <polyline label="crack" {rest} points="{points(TRACE)}" z_order="0">
    </polyline>
    <mask label="crack" {rest} rle="2, 3, 5, 5" left="4" top="20" width="5" height="3" z_order="0">
    </mask>
    <box label="crack" {rest} xtl="1.00" ytl="2.00" xbr="3.00" ybr="4.00" z_order="0">
    </box>
    <points label="crack" {rest} points="{points(TRACE)}" z_order="0">
    </points>
    <polygon label="joint" {rest} points="{points(PART)}" z_order="0">
    </polygon>
  </image>
</annotations>
"""


def yolo() -> str:
    def line(number: int, points: list[list[float]]) -> str:
        return " ".join([str(number), *(f"{n:.6f}" for x, y in points for n in (x / 70, y / 45))])

    return "\n".join([line(0, BORDER), line(0, PART), "0 0.5 0.5 0.1 0.2", line(1, TRACE)]) + "\n"


def write(folder: Path, name: str) -> Path:
    """The label file of a format in a dataset that has the photograph."""
    (folder / "images").mkdir(exist_ok=True)
    Image.fromarray(np.full((SIZE[1], SIZE[0], 3), 170, np.uint8)).save(
        folder / "images" / "wall.jpg"
    )
    if name == "cvat":
        path, text = folder / "annotations.xml", cvat()
    elif name == "yolo":
        path, text = folder / "labels" / "wall.txt", yolo()
        path.parent.mkdir()
        (folder / "data.yaml").write_text("nc: 2\nnames: [crack, joint]\n")
    else:
        suffix = "geojson" if name == "geojson" else "json"
        path = folder / f"{name}.{suffix}"
        text = json.dumps({"labelme": labelme, "coco": coco, "geojson": geojson}[name]())
    path.write_text(text, encoding="utf-8")
    return path


FORMATS = ["labelme", "coco", "cvat", "yolo", "geojson"]
