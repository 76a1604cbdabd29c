"""What is read of the files that each program writes, and how it is understood."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from minispiral.data.labels import yolo
from minispiral.data.labels.convert import draw_masks
from minispiral.data.labels.read import label_files, read_labels
from minispiral.errors import UserError
from tests.data.labels import oracle, samples

H, W = samples.SIZE[::-1]
BORDER, TRACE, PART = (np.array(p) for p in (samples.BORDER, samples.TRACE, samples.PART))


def area(points):
    return oracle.inside(points, H, W)


def line(points):
    return oracle.distance(points, H, W) < 1.5


def runs(lengths, by_rows=False):
    return oracle.from_runs(lengths, H, W, by_rows)


def cvat_mask():
    mask = np.zeros((H, W), bool)
    mask[20:23, 4:9] = oracle.from_runs([2, 3, 5, 5], 3, 5, True)
    return mask


# The counts of the third annotation are those that pycocotools makes of these runs.
ENCODED = [150, 20, 90, 40, 1700, 7, 1142, 1]

EXPECTED = {
    "labelme": (area(BORDER) | line(TRACE), {"box": 1, "circle": 1, "points": 1}),
    "coco": (
        area(BORDER) | area(PART) | runs([100, 20, 30, 5, 2995]) | runs(ENCODED),
        {"box": 1},
    ),
    "cvat": (area(BORDER) | line(TRACE) | cvat_mask(), {"box": 1, "points": 1}),
    "yolo": (area(BORDER) | area(PART), {"box": 1}),
    "geojson": (area(BORDER) | area(PART) | line(TRACE) | line(BORDER), {"points": 1}),
}


def mask_of(path):
    with Image.open(path) as image:
        assert image.mode == "L"
        values = np.asarray(image)
    assert set(np.unique(values)) <= {0, 255}
    return values > 0


@pytest.mark.parametrize("name", samples.FORMATS)
def test_each_format(name, tmp_path):
    path = samples.write(tmp_path, name)
    drawn = draw_masks([path], tmp_path / "masks", classes=["crack"])
    [job] = drawn.jobs
    expected, skipped = EXPECTED[name]
    assert not drawn.errors
    assert job.skipped == {**skipped, "of other classes": 1}
    assert drawn.files[0][1].lower() == name
    found = mask_of(tmp_path / "masks" / "wall.png")
    assert job.crack_pixels == found.sum()
    # Six decimals of YOLO move a border by less than a thousandth of a pixel.
    assert np.count_nonzero(found != expected) <= (2 if name == "yolo" else 0)


@pytest.mark.parametrize("name", samples.FORMATS)
def test_the_other_class(name, tmp_path):
    path = samples.write(tmp_path, name)
    draw_masks([path], tmp_path / "masks", classes=["joint"])
    expected = {"yolo": area(TRACE), "geojson": line(PART)}.get(name, area(PART))
    found = mask_of(tmp_path / "masks" / "wall.png")
    assert np.count_nonzero(found != expected) <= (2 if name == "yolo" else 0)


def test_the_hole_of_a_polygon(tmp_path):
    content = samples.geojson()
    content["features"] = content["features"][:1]
    path = tmp_path / "a.geojson"
    samples.write(tmp_path, "geojson")
    path.write_text(json.dumps(content))
    draw_masks([path], tmp_path / "masks")
    found = mask_of(tmp_path / "masks" / "wall.png")
    np.testing.assert_array_equal(found, area(BORDER) & ~area(PART))


def test_a_mask_of_labelme_and_files_of_its_first_versions(rng, tmp_path):
    mask = rng.random((9, 14)) < 0.5
    png = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(png, "PNG")
    content = samples.labelme()
    stored, old = content["shapes"][3], content["shapes"][0]
    stored |= {"shape_type": "mask", "points": [[30.0, 20.0], [43.0, 28.0]]}
    stored["mask"] = base64.b64encode(png.getvalue()).decode()
    del old["shape_type"], old["mask"], old["description"]
    content |= {"shapes": [stored, old], "imageData": "", "lineColor": [0, 255, 0, 128]}
    path = tmp_path / "wall.json"
    path.write_text(json.dumps(content))
    draw_masks([path], tmp_path / "masks")
    expected = area(BORDER)
    expected[20:29, 30:44] |= mask
    np.testing.assert_array_equal(mask_of(tmp_path / "masks" / "wall.png"), expected)


def test_geojson_of_a_detection_and_of_qgis(tmp_path):
    feature = {"type": "Feature", "geometry": {"type": "LineString", "coordinates": TRACE.tolist()}}
    found = {"photo": "../photos/wall.jpg", "class": "below 0.1", "coordinates": "pixel"}
    samples.write(tmp_path, "geojson")
    path = tmp_path / "cracks.geojson"
    path.write_text(
        json.dumps({"type": "FeatureCollection", "features": [feature | {"properties": found}]})
    )
    [labels] = read_labels(path).labels
    assert (labels.photo, labels.annotations[0].label) == ("../photos/wall.jpg", "crack")

    below = (TRACE * (1, -1)).tolist()
    path = tmp_path / "wall.geojson"
    path.write_text(json.dumps({"type": "LineString", "coordinates": below}))
    drawn = draw_masks([path], tmp_path / "masks")
    assert "every y is negative" in drawn.notes[0]
    np.testing.assert_array_equal(mask_of(tmp_path / "masks" / "wall.png"), line(TRACE))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data.yaml", "nc: 2\nnames: ['crack', 'joint']\n"),
        ("data.yaml", "names:\n  0: crack\n  1: joint\ntrain: images\n"),
        ("data.yml", "names:\n- crack\n- joint\n"),
        ("classes.txt", "crack\njoint\n"),
        ("obj.names", "crack\r\njoint\r\n"),
    ],
)
def test_names_of_classes_of_yolo(name, text, tmp_path):
    path = samples.write(tmp_path, "yolo")
    (tmp_path / "data.yaml").unlink()
    (tmp_path / name).write_text(text)
    yolo.class_names.cache_clear()
    file = read_labels(path)
    assert file.classes == ["crack", "joint"]
    assert [one.label for one in file.labels[0].annotations] == ["crack"] * 3 + ["joint"]


def test_without_names_the_classes_of_yolo_are_numbers(tmp_path):
    path = samples.write(tmp_path, "yolo")
    (tmp_path / "data.yaml").unlink()
    yolo.class_names.cache_clear()
    assert [one.label for one in read_labels(path).labels[0].annotations] == list("0001")


def test_a_folder_stands_for_its_label_files(tmp_path):
    path = samples.write(tmp_path, "yolo")
    for name in ("classes.txt", ".hidden.json", "photo.jpg"):
        (path.parent / name).write_text("crack")
    assert label_files([path.parent, path]) == [path]
    with pytest.raises(UserError, match="holds no labels"):
        label_files([tmp_path / "images"])
    with pytest.raises(UserError, match="There is no file"):
        label_files([tmp_path / "none.json"])
