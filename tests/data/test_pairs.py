"""Photographs and masks are paired by name."""

import pytest

from minispiral.data.pairs import Pair, find_pairs
from minispiral.errors import UserError


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_find_pairs_by_stem_in_any_format(tmp_path):
    touch(tmp_path, "images/b.JPG", "images/a.1.tif", "images/C.bmp", "images/.hidden.png")
    touch(tmp_path, "masks/b.png", "masks/a.1.png", "masks/C.gif", "masks/._b.png")
    touch(tmp_path, "images/Thumbs.db", "masks/notes.txt", "images/more.png/x.png", "extra/z.png")
    pairs = find_pairs(tmp_path)
    images, masks = tmp_path / "images", tmp_path / "masks"
    assert pairs == [
        Pair("C", images / "C.bmp", masks / "C.gif"),
        Pair("a.1", images / "a.1.tif", masks / "a.1.png"),
        Pair("b", images / "b.JPG", masks / "b.png"),
    ]
    assert find_pairs(str(tmp_path)) == pairs


@pytest.mark.parametrize("made", [[], ["images"], ["masks"]])
def test_missing_folder(tmp_path, made):
    for part in made:
        (tmp_path / "set" / part).mkdir(parents=True)
    with pytest.raises(UserError, match=r"no folder .*set.(images|masks)"):
        find_pairs(tmp_path / "set")


def test_no_pairs(tmp_path):
    touch(tmp_path, "images/Thumbs.db", "masks/.keep")
    with pytest.raises(UserError, match="no pictures") as error:
        find_pairs(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_unpaired_pictures_are_named(tmp_path):
    touch(tmp_path, "images/a.jpg", "images/lonely.jpg", "masks/a.png")
    with pytest.raises(UserError, match=r"no mask for lonely\.jpg"):
        find_pairs(tmp_path)
    touch(tmp_path, *(f"masks/m{i}.png" for i in range(5)))
    with pytest.raises(
        UserError, match=r"lonely\.jpg and no photo.* m0\.png, m1\.png, m2\.png and 2"
    ):
        find_pairs(tmp_path)


def test_same_stem_twice(tmp_path):
    touch(tmp_path, "images/a.jpg", "masks/a.png", "masks/a.tif")
    with pytest.raises(UserError, match=r"a\.png and a\.tif"):
        find_pairs(tmp_path)
