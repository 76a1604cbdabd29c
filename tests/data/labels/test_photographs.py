"""Which photograph labels belong to, which size it has, and where its mask is written."""

import json

import numpy as np
import pytest
from PIL import Image

from minispiral.data.labels.convert import draw_masks
from minispiral.errors import UserError

TRACE = [[2.25, 3.5], [30.25, 20.0]]


@pytest.fixture
def data(tmp_path):
    (tmp_path / "images").mkdir()
    return tmp_path


def photo(data, name, size=(70, 45), orientation=1):
    path = data / "images" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size, "grey").save(path, exif=exif)
    return path


def labelled(data, *names, size=(70, 45), file="coco.json", points=TRACE, **more):
    """A COCO file in which each photograph has a triangle."""
    corners = [n for point in [*points, [60.0, 40.0]] for n in point]
    content = {
        "images": [
            {"id": k, "file_name": name, "width": size[0], "height": size[1]}
            for k, name in enumerate(names)
        ],
        "annotations": [
            {"id": k, "image_id": k, "category_id": 1, "segmentation": [corners]}
            for k in range(len(names))
        ],
        "categories": [{"id": 1, "name": "crack"}],
    } | more
    path = data / file
    path.write_text(json.dumps(content))
    return path


def masks(data):
    folder = data / "masks"
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("wall.jpg", "wall.jpg"),
        ("..\\photos\\wall.jpg", "wall.jpg"),
        ("/data/upload/1/wall.jpg", "wall.jpg"),
        ("wall.png", "wall.jpg"),
        ("wall.v2.jpg", "wall.v2.jpg"),
        ("bru\u0308cke.jpg", "br\u00fccke.jpg"),
    ],
)
def test_a_photograph_is_found_by_its_name(data, name, stored):
    photo(data, stored)
    draw_masks([labelled(data, name)], data / "masks")
    assert masks(data) == [stored.replace(".jpg", ".png")]


def test_in_subfolders_the_folder_decides(data):
    for place in ("pier", "wall/north"):
        photo(data, f"{place}/1.jpg")
    photo(data, "top.jpg")
    path = labelled(data, "images/pier/1.jpg", "north/1.jpg", "top.jpg")
    draw_masks([path], data / "masks", recursive=True)
    assert masks(data) == ["pier/1.png", "top.png", "wall/north/1.png"]
    drawn = draw_masks([path], data / "flat")
    assert drawn.missing == ["images/pier/1.jpg", "north/1.jpg"]
    drawn = draw_masks([labelled(data, "1.jpg")], data / "other", recursive=True)
    assert "may belong to" in str(drawn.errors[0])
    (data / "images" / "top.jpg").unlink()
    with pytest.raises(UserError, match="only in subfolders"):
        draw_masks([path], data / "flat")


def test_no_name_leads_out_of_the_folder_of_the_masks(tmp_path):
    for name in ("../../outside.jpg", "C:\\outside.jpg", "/etc/outside.jpg"):
        draw_masks([labelled(tmp_path, name)], tmp_path / "masks", overwrite=True)
        assert masks(tmp_path) == ["outside.png"]
    for name in ("..", "/", "a/.hidden.jpg", "a\nb.jpg", "a\0b.jpg", 300 * "x" + ".jpg"):
        drawn = draw_masks([labelled(tmp_path, name)], tmp_path / "masks", overwrite=True)
        assert drawn.bad_photos == 1, name
    assert masks(tmp_path) == ["outside.png"]


def test_another_size_than_that_of_the_photograph_is_refused_and_the_others_go_on(data):
    photo(data, "a.png", (70, 46))
    photo(data, "b.png")
    photo(data, "c.png", (140, 90))
    drawn = draw_masks([labelled(data, "a.png", "b.png", "c.png")], data / "masks")
    assert masks(data) == ["b.png"]
    assert [str(error).split(" but it is ")[1][:8] for error in drawn.errors] == [
        "70 x 46;",
        "140 x 90",
    ]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_photograph_as_it_is_shown_or_as_stored(data, orientation):
    """A size that tells that the labels were drawn on the other one is refused."""
    photo(data, "a.jpg", (70, 45), orientation)
    turned = orientation >= 5
    shown, stored = labelled(data, "a.jpg", size=(45, 70) if turned else (70, 45)), None
    drawn = draw_masks([shown], data / "masks")
    assert not drawn.errors
    with Image.open(data / "masks" / "a.png") as mask:
        assert mask.size == ((45, 70) if turned else (70, 45))
    assert bool(drawn.unclear) == (2 <= orientation <= 4)
    stored = labelled(data, "a.jpg", size=(70, 45))
    drawn = draw_masks([stored], data / "masks", overwrite=True)
    assert [error.parameter for error in drawn.errors] == ["as_stored"] * turned
    drawn = draw_masks([stored], data / "masks", overwrite=True, as_stored=True)
    assert not drawn.errors
    assert not drawn.unclear
    with Image.open(data / "masks" / "a.png") as mask:
        assert mask.size == (70, 45)


def test_what_lies_outside_is_counted(data):
    photo(data, "a.png")
    outside = [[-50.0, -50.0], [-20.0, -9.0]]
    path = labelled(data, "a.png", points=outside)
    content = json.loads(path.read_text())
    thin = [30.6, 20.6, 30.9, 20.6, 30.9, 20.9]
    beyond = [-50.0, 20.0, -20.0, 20.0, -20.0, 30.0]
    for number, corners in enumerate((thin, beyond), 7):
        content["annotations"].append(content["annotations"][0] | {"id": number})
        content["annotations"][-1]["segmentation"] = [corners]
    path.write_text(json.dumps(content))
    drawn = draw_masks([path], data / "masks")
    [job] = drawn.jobs
    assert job.cut == 1
    assert job.skipped == {
        "outside the picture": 1,
        "too thin to cover the centre of a pixel": 1,
    }
    content["annotations"] = content["annotations"][1:]
    path.write_text(json.dumps(content))
    drawn = draw_masks([path], data / "none", empty=True)
    assert drawn.undrawn == [str(data / "images" / "a.png")]
    assert not (data / "none").exists()


def test_empty_masks_are_written_only_where_it_is_certain(data):
    for name in "abcd":
        photo(data, f"{name}.png")
    path = labelled(data, "a.png", "b.png", "c.png")
    content = json.loads(path.read_text())
    boxed = {"id": 5, "image_id": 1, "category_id": 1, "segmentation": [], "bbox": [1, 2, 3, 4]}
    content["annotations"] = [content["annotations"][0], boxed]
    path.write_text(json.dumps(content))
    (data / "masks").mkdir()
    kept = np.full((45, 70), 255, np.uint8)
    Image.fromarray(kept).save(data / "masks" / "d.png")

    drawn = draw_masks([path], data / "masks")
    assert masks(data) == ["a.png", "d.png"]
    assert drawn.unlabelled == [str(data / "images" / "c.png")]
    assert drawn.undrawn == [str(data / "images" / "b.png")]  # it has a box
    drawn = draw_masks([path], data / "masks", empty=True, overwrite=True)
    assert masks(data) == ["a.png", "c.png", "d.png"]
    assert not np.asarray(Image.open(data / "masks" / "c.png")).any()
    np.testing.assert_array_equal(np.asarray(Image.open(data / "masks" / "d.png")), kept)

    for damaged in ("{", None):  # labels that cannot be read, labels whose photograph is not there
        if damaged:
            other = data / "broken.json"
            other.write_text(damaged)
        else:
            other = labelled(data, "renamed.png", file="other.json")
        draw_masks([path, other], data / "unsure", empty=True)
        found = {p.name for p in (data / "unsure").iterdir()}
        assert found == ({"a.png"} if damaged else {"a.png", "c.png"})
        (data / "unsure" / "a.png").unlink()


def test_refused_before_anything_is_written(data):
    a = photo(data, "a.png")
    first, second = labelled(data, "a.png"), labelled(data, "x/a.jpg", file="second.json")
    with pytest.raises(UserError, match=r"labelled in .*coco.json and .*second.json, would have"):
        draw_masks([first, second], data / "masks")
    with pytest.raises(UserError, match="would overwrite the photograph"):
        draw_masks([first], data / "images", data / "images", overwrite=True)
    with pytest.raises(UserError, match=r"None of the photographs that are labelled is in"):
        draw_masks([labelled(data, "z.png", file="z.json")], data / "masks", empty=True)
    for width in (0.5, float("nan"), -3, 1e9):
        with pytest.raises(UserError, match="line width"):
            draw_masks([first], data / "masks", line_width=width)
    with pytest.raises(UserError, match="There is no folder"):
        draw_masks([first], data / "masks", data / "none")
    assert not (data / "masks").exists()
    assert Image.open(a).mode == "RGB"
    (data / "masks").mkdir()
    Image.new("L", (70, 45)).save(data / "masks" / "a.bmp")
    with pytest.raises(UserError, match=r"a.bmp is a mask of .*a.png already"):
        draw_masks([first], data / "masks", overwrite=True)


def test_no_photograph_is_taken_for_a_mask(data):
    """Of one that is no PNG the mask would lie beside it."""
    photo(data, "a.jpg")
    with pytest.raises(UserError, match="images holds photographs, not masks"):
        draw_masks([labelled(data, "a.jpg")], data / "images", overwrite=True)


def test_a_photograph_beside_its_labels_is_not_overwritten(tmp_path):
    """As labelme puts them, without a folder images."""
    Image.new("RGB", (70, 45)).save(tmp_path / "wall.png")
    with pytest.raises(UserError, match="would overwrite the photograph"):
        draw_masks([labelled(tmp_path, "wall.png")], tmp_path, overwrite=True)


def test_a_photograph_that_is_damaged_is_named(data):
    photo(data, "a.png")
    (data / "images" / "b.png").write_bytes(b"nothing")
    drawn = draw_masks([labelled(data, "a.png", "b.png")], data / "masks")
    assert masks(data) == ["a.png"]
    assert "b.png is not a picture" in str(drawn.errors[0])


def test_a_class_may_be_given_where_nothing_is_labelled(data):
    """As a script does that goes through many folders."""
    photo(data, "a.png")
    labels = data / "a.json"
    labels.write_text('{"shapes": [], "imagePath": "a.png"}')
    draw_masks([labels], data / "masks", classes=["crack"], empty=True)
    assert masks(data) == ["a.png"]
    assert not np.asarray(Image.open(data / "masks" / "a.png")).any()
