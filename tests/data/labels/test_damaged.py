"""Files that are damaged or not what they seem: one sentence, with the file and the item."""

import json
from copy import deepcopy

import numpy as np
import pytest

from minispiral.data.labels.convert import draw_masks
from minispiral.data.labels.read import read_labels
from minispiral.data.labels.runs import decompressed
from minispiral.data.labels.values import Place
from minispiral.errors import UserError
from tests.data.labels import samples


def refused(path):
    """The sentence by which the file is refused; nothing is drawn of it."""
    drawn = draw_masks([path], path.parent / "masks")
    [error] = drawn.errors
    assert drawn.bad_files == 1
    assert not (path.parent / "masks").exists()
    assert str(path) in str(error)
    assert "\n" not in str(error)
    return str(error).replace(str(path), "FILE")


def told(path):
    """The name of a file that can be read, or why it cannot; other exceptions are raised."""
    try:
        return str(read_labels(path).path)
    except UserError as error:
        return str(error)


def changed(content, keys, value):
    content = deepcopy(content)
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return content


SHAPE, ANNOTATION, FEATURE = ("shapes", 1), ("annotations", 1), ("features", 0)

CASES = [
    ("labelme", ("imageHeight",), 10**9, "70 x 1000000000 pixels, more than the 500 million"),
    ("labelme", ("imageWidth",), 0, "0 x 45"),
    ("labelme", ("imageWidth",), "wide", "the width is 'wide', expected a whole number"),
    ("labelme", ("imagePath",), 5, "imagePath is 5"),
    ("labelme", ("shapes",), {}, "list of shapes is {}"),
    ("labelme", (*SHAPE, "points", 1, 0), float("nan"), "shape 2: a coordinate"),
    ("labelme", (*SHAPE, "points", 1, 0), "3", "shape 2: a coordinate"),
    ("labelme", (*SHAPE, "points", 1), [1.0], "shape 2: a point is [1.0], expected two"),
    ("labelme", (*SHAPE, "points"), None, "shape 2: its list of points is None"),
    ("labelme", (*SHAPE, "shape_type"), "blob", "shape 2: its shape_type is 'blob'"),
    ("labelme", (*SHAPE, "label"), None, "shape 2: its label is None"),
    ("labelme", SHAPE, 7, "shape 2: it is 7, expected a JSON object"),
    ("labelme", (*SHAPE, "shape_type"), "mask", "its mask has 3 points, expected 2"),
    ("coco", ("images", 0, "width"), 10**8, "image 11: the photograph is 100000000 x 45"),
    ("coco", ("images", 0, "file_name"), None, "image 11: its file_name is None"),
    ("coco", (*ANNOTATION, "image_id"), 12, "annotation 2: there is no image 12"),
    ("coco", (*ANNOTATION, "category_id"), 3, "annotation 2: there is no category 3"),
    ("coco", (*ANNOTATION, "category_id"), [1], "annotation 2: its category_id is [1]"),
    ("coco", ("categories", 1, "id"), 1, "category number 2: its id 1 is that of another"),
    ("coco", (*ANNOTATION, "segmentation", "size"), [70, 45], "its mask is 45 x 70 pixels"),
    ("coco", (*ANNOTATION, "segmentation", "size"), [45], "expected height and width"),
    ("coco", (*ANNOTATION, "segmentation", "counts"), [9, 9], "18 pixels together, expected"),
    ("coco", (*ANNOTATION, "segmentation", "counts"), [-1, 3151], "a run has -1 pixels"),
    ("coco", (*ANNOTATION, "segmentation", "counts"), [0.5], "a run is 0.5"),
    ("coco", (*ANNOTATION, "segmentation", "counts"), "é", "the compressed runs have 'é'"),
    ("coco", (*ANNOTATION, "segmentation", "counts"), "oooo", "end inside a number"),
    ("coco", (*ANNOTATION, "segmentation", "counts"), "o" * 99, "which ends no number"),
    ("coco", (*ANNOTATION, "segmentation"), [[1, 2, 3]], "annotation 2: the polygon has 3"),
    ("coco", (*ANNOTATION, "segmentation"), [[1, 2, 3, None]], "annotation 2: a coordinate"),
    ("coco", ("categories", 0, "name"), "", "category 1: its name is ''"),
    ("geojson", (*FEATURE, "geometry", "type"), "Blob", "feature 1: its geometry's type"),
    ("geojson", (*FEATURE, "geometry", "coordinates"), [[1]], "feature 1: a point is 1, expected"),
    ("geojson", (*FEATURE, "geometry", "coordinates", 0, 2), [1, 1e300], "feature 1: a coor"),
    ("geojson", (*FEATURE, "properties"), {"coordinates": "world"}, "of the world"),
    ("geojson", (*FEATURE, "properties"), 3, "feature 1: properties is 3"),
    ("geojson", ("features",), None, "features is None, expected a list"),
]


@pytest.mark.parametrize(
    ("name", "keys", "value", "words"),
    CASES,
)
def test_json_with_something_wrong(name, keys, value, words, tmp_path):
    path = samples.write(tmp_path, name)
    path.write_text(json.dumps(changed(getattr(samples, name)(), keys, value)))
    assert words in refused(path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('width="70"', 'width="70000000"', "image 0: the photograph is 70000000 x 45 pixels"),
        ('width="70"', "", "image 0: the width is None"),
        ('name="pier/wall.jpg"', "", "image 0: its name is None"),
        ('label="crack"', "", "image 0, polygon 1: its label is None"),
        ("2.25,3.50", "2.25", "image 0, polyline 2: a point is [2.25], expected two numbers"),
        ("2.25,3.50", "nan,3.5", "image 0, polyline 2: a coordinate of a point is nan"),
        ("2.25,3.50", "x,3.5", "image 0, polyline 2: a coordinate of a point is 'x'"),
        ("2, 3, 5, 5", "2, 3, 5", "image 0, mask 3: the runs have 10 pixels together, expected 15"),
        ("2, 3, 5, 5", "2, -3, 5, 5, 6", "image 0, mask 3: a run has -3 pixels"),
        ('left="4"', "", "image 0, mask 3: left is None"),
        (
            'top="20" width="5" height="3"',
            'top="20" width="99999" height="99999"',
            "mask 3: the ph",
        ),
        ("box ", "blob ", "it seems truncated or corrupt"),
        ("<annotations>", '<!DOCTYPE a [<!ENTITY b "x">]><annotations>', "a document type"),
        ("utf-8", "utf-99", "it seems truncated or corrupt"),
        ("  <image", '  <track id="0" label="crack"/><image', "tracks of a video"),
    ],
)
def test_xml_with_something_wrong(old, new, words, tmp_path):
    path = samples.write(tmp_path, "cvat")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert words in refused(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2 0.1 0.1 0.2 0.2 0.1 0.3", "line 1: there is no class 2, there are 2"),
        ("-1 0.1 0.1 0.2 0.2 0.1 0.3", "line 1: there is no class -1"),
        ("\n\ncrack 0.1 0.1 0.2", "line 3: its class is 'crack', expected a whole number"),
        ("0 10 10 20 20 10 30", "a coordinate is 30, expected fractions"),
        ("0 0.1 0.1 0.2 0.2 0.1 0.3 0.9", "line 1: the polygon has 7 numbers"),
        ("0 0.1 nan 0.2 0.2 0.1 0.3", "line 1: a coordinate of the polygon is nan"),
        ("0 0.1 0,1 0.2 0.2 0.1 0.3", "line 1: a coordinate of the polygon is '0,1'"),
    ],
)
def test_yolo_with_something_wrong(text, words, tmp_path):
    path = samples.write(tmp_path, "yolo")
    path.write_text(text)
    assert words in refused(path)


@pytest.mark.parametrize(
    "text", ["names: {0: crack, 2: joint}", "names: 3", "nc: 1", "names: [", "a: [*a]", "[]"]
)
def test_damaged_names_of_classes(text, tmp_path):
    path = samples.write(tmp_path, "yolo")
    (tmp_path / "data.yaml").write_text(text)
    drawn = draw_masks([path], tmp_path / "masks")
    assert str(tmp_path / "data.yaml") in str(drawn.errors[0])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", "[]", "is a list, as results of COCO"),
        ("a.json", "3", "is no JSON object"),
        ("a.json", '{"_via_settings": {}}', "has '_via_settings', expected labels of labelme"),
        ("a.json", "[" * 100_000, "is no JSON"),
        ("a.json", b"\xff\xfe\x00{", "is no text in UTF-8"),
        ("a.zip", b"PK", "is an archive; unpack it"),
        ("a.png", b"", "ends in .png, expected labels of"),
        ("a.xml", "<annotation/>", "<annotation>, expected <annotations>"),
        ("a.xml", "", "it seems truncated or corrupt"),
    ],
)
def test_files_that_are_no_labels(name, content, words, tmp_path):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert words in refused(path)


@pytest.mark.parametrize("name", samples.FORMATS)
def test_a_file_that_ends_early_or_has_wrong_bytes(name, rng, tmp_path):
    """Text of YOLO that ends early may be sound; everything else is refused."""
    path = samples.write(tmp_path, name)
    whole = path.read_bytes()
    for _ in range(30):
        path.write_bytes(whole[: rng.integers(len(whole.rstrip()))])
        if name == "yolo":
            continue
        with pytest.raises(UserError, match="truncated or corrupt") as error:
            read_labels(path)
        assert str(path) in str(error.value)
    for _ in range(30):
        spoilt = bytearray(whole)
        for at in rng.integers(len(whole), size=3):
            spoilt[at] = rng.integers(256)
        path.write_bytes(bytes(spoilt))
        assert str(path) in told(path)


ODD = ["x", None, -1, float("nan"), 1e308, [], {}, True, 10**30, 0, "", "../..", "\0", [[1, 2]]]


@pytest.mark.parametrize("name", ["labelme", "coco", "geojson"])
def test_any_value_in_the_place_of_any_other(name, rng, tmp_path):
    path = samples.write(tmp_path, name)

    def places(value, keys=()):
        yield from [keys] if keys else []
        if isinstance(value, dict | list):
            for key in value if isinstance(value, dict) else range(len(value)):
                yield from places(value[key], (*keys, key))

    content = getattr(samples, name)()
    every = list(places(content))
    for keys in (every[i] for i in rng.integers(len(every), size=100)):
        path.write_text(json.dumps(changed(content, keys, ODD[rng.integers(len(ODD))])))
        assert str(path) in told(path)


def test_run_lengths_of_coco_against_their_encoder(rng):
    """The encoder as COCO's tools define it (``rleToString``)."""

    def compressed(lengths):
        text = ""
        for k, length in enumerate(lengths):
            number = length - (lengths[k - 2] if k > 2 else 0)
            more = True
            while more:
                digit, number = number & 31, number >> 5
                more = number != (-1 if digit & 16 else 0)
                text += chr((digit | 32 * more) + 48)
        return text

    for _ in range(50):
        lengths = rng.integers(0, 10 ** rng.integers(1, 9, rng.integers(1, 20))).tolist()
        assert decompressed(compressed(lengths), Place("file")) == lengths
    assert compressed([150, 20, 90, 40, 1700, 7, 1142, 1]) == "f4d0j2d0Zb1oNb^OJ"
    assert np.sum(decompressed("f4d0j2d0Zb1oNb^OJ", Place("file"))) == 45 * 70
