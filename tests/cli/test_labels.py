"""``minispiral labels``, and the way from labels to a dataset that can be trained on."""

import json

import numpy as np
import pytest
from PIL import Image

from minispiral.data.labels import convert
from tests.data.labels import samples
from tests.small import TRAINING, command, files_of, refusal

pytestmark = pytest.mark.usefixtures("no_curves")


def labels(tmp_path, path, *words):
    return command("labels", path, "--out", tmp_path / "masks", *words)


def test_what_is_drawn_and_what_is_left_out_is_told(tmp_path):
    path = samples.write(tmp_path, "labelme")
    result = labels(tmp_path, path, "--class", "crack")
    assert result.exit_code == 0
    assert result.stdout.startswith("1 mask of 1 area and 2 lines, ")
    assert "left out: 1 box, 1 circle, 1 points, 1 of other classes\n" in result.stderr


def test_json(tmp_path):
    path = samples.write(tmp_path, "coco")
    other = tmp_path / "broken.json"
    other.write_text('{"shapes": [')
    result = labels(tmp_path, path, other, "--class", "crack", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["classes"] == {"crack": 4, "joint": 1}
    assert found["taken"] == ["crack"]
    assert found["skipped"] == {"box": 1, "of other classes": 1}
    assert found["files"] == [{"file": str(path), "format": "COCO"}]
    assert str(other) in found["errors"][0]
    [photo] = found["photos"]
    mask = np.asarray(Image.open(photo["mask"]))
    assert (photo["width"], photo["height"]) == samples.SIZE
    assert photo["crack_pixels"] == np.count_nonzero(mask)
    assert (photo["areas"], photo["lines"], photo["bitmaps"]) == (1, 0, 2)
    assert result.stderr.splitlines()[-1].startswith("minispiral: 1 of 2 files failed")


def test_classes_must_be_certain(tmp_path):
    path = samples.write(tmp_path, "cvat")
    sentence = refusal(labels(tmp_path, path))
    assert "crack (5), joint (1)" in sentence
    assert sentence.endswith("or change --class.")
    sentence = refusal(labels(tmp_path, path, "--class", "Crack", "--class", "crack"))
    assert (
        "No label has the class Crack, expected some of crack (5), joint (1); change --class."
        in sentence
    )
    assert not (tmp_path / "masks").exists()
    both = labels(tmp_path, path, "--class", "crack", "--class", "joint")
    assert "1 mask of 2 areas and 1 line and 1 bitmap, " in both.stdout


def test_masks_are_replaced_only_when_told(tmp_path):
    path = samples.write(tmp_path, "labelme")
    words = ["--class", "crack"]
    assert labels(tmp_path, path, *words).exit_code == 0
    before = files_of(tmp_path / "masks")
    sentence = refusal(labels(tmp_path, path, *words, "--line-width", 7))
    assert "already has wall.png" in sentence
    assert sentence.endswith("or add --overwrite.")
    assert files_of(tmp_path / "masks") == before
    assert labels(tmp_path, path, *words, "--line-width", 7, "--overwrite").exit_code == 0
    assert files_of(tmp_path / "masks") != before


def test_sizes_that_no_file_tells(tmp_path):
    path = samples.write(tmp_path, "yolo")
    (tmp_path / "images").rename(tmp_path / "photos")
    sentence = refusal(labels(tmp_path, path, "--class", "crack"))
    assert sentence.endswith("or change --images.")
    done = labels(tmp_path, path, "--class", "crack", "--images", tmp_path / "photos")
    assert done.exit_code == 0


def test_ctrl_c_leaves_whole_masks_and_says_what_to_do(tmp_path, monkeypatch):
    write, written = convert.write_picture, []

    def interrupted(path, array):
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write(path, array)

    monkeypatch.setattr(convert, "write_picture", interrupted)
    content = samples.coco()
    content["images"].append(content["images"][0] | {"id": 12, "file_name": "pier.jpg"})
    content["annotations"].append(content["annotations"][0] | {"id": 9, "image_id": 12})
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(content))
    result = labels(tmp_path, path, "--class", "crack")
    assert result.exit_code == 130
    assert "1 of 2 masks are written, add --overwrite" in result.stderr.splitlines()[-1]
    assert [p.name for p in (tmp_path / "masks").iterdir()] == ["wall.png"]
    assert Image.open(tmp_path / "masks" / "wall.png").size == samples.SIZE


def test_from_labels_to_a_trained_network(tmp_path):
    data = tmp_path / "data"
    assert command("synth", data, "--photos", 4, "--size", "96x80").exit_code == 0
    (data / "masks").rename(data / "truth")
    for path in (data / "cracks").glob("*.json"):
        cracks = json.loads(path.read_text())
        content = samples.labelme() | {
            "shapes": [
                {"label": "crack", "points": crack["points"], "shape_type": "linestrip"}
                for crack in cracks["cracks"]
            ],
            "imagePath": f"../images/{path.stem}.jpg",
            "imageWidth": cracks["width"],
            "imageHeight": cracks["height"],
        }
        (data / "labelme").mkdir(exist_ok=True)
        (data / "labelme" / path.name).write_text(json.dumps(content))
    done = command("labels", data / "labelme", "--out", data / "masks", "--empty")
    assert done.exit_code == 0
    assert done.stdout.startswith("4 masks")
    assert "0 errors" in command("check", data).stdout
    for path in (data / "masks").iterdir():  # drawn by a steadier hand than those of synth
        mask, truth = (np.asarray(Image.open(data / p / path.name)) > 0 for p in ("masks", "truth"))
        assert mask.sum() == pytest.approx(truth.sum(), rel=0.3, abs=9)
    assert command("train", data, "--out", tmp_path / "run", *TRAINING).exit_code == 0
