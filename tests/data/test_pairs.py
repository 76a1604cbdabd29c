"""Photographs and masks are paired by name."""

import os
import sys
import unicodedata

import numpy as np
import pytest
from PIL import Image

from minispiral.data.pairs import Pair, find_pairs, read_pair
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


NFC, NFD = (unicodedata.normalize(form, "Brücke é") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(("photo", "mask"), [(NFD, NFC), (NFC, NFD), (NFD, NFD), (NFC, NFC)])
def test_names_are_compared_after_unicode_normalisation(tmp_path, photo, mask):
    touch(tmp_path, f"images/{photo}.jpg", f"masks/{mask}.png")
    [pair] = find_pairs(tmp_path)
    assert pair.name == NFC
    assert pair.photo.is_file()
    assert pair.mask.is_file()


def test_two_spellings_of_one_name_are_refused_and_told_apart(tmp_path):
    touch(tmp_path, f"images/{NFD}.jpg", f"images/{NFC}.jpg", f"masks/{NFC}.png")
    if len(list((tmp_path / "images").iterdir())) == 1:
        pytest.skip("the disk knows one spelling only")
    with pytest.raises(UserError, match="two ways") as error:
        find_pairs(tmp_path)
    for name in (NFC, NFD):
        assert ascii(f"{name}.jpg") in str(error.value)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode")
def test_names_that_are_no_utf_8_are_paired(tmp_path):
    name = os.fsdecode(b"wall\xff")
    touch(tmp_path, f"images/{name}.jpg", f"masks/{name}.png")
    assert [pair.photo.stem for pair in find_pairs(tmp_path)] == [name]


@pytest.mark.parametrize("suffix", ["_mask", ".mask", " - " + NFC, "-GT"])
def test_masks_with_a_suffix(tmp_path, suffix):
    spelled = unicodedata.normalize("NFD", suffix)
    touch(tmp_path, "images/a.jpg", "images/b_mask.jpg", f"images/{NFC}.jpg")
    touch(
        tmp_path, f"masks/a{suffix}.png", f"masks/b_mask{spelled}.png", f"masks/{NFD}{suffix}.png"
    )
    names = [(pair.name, same(pair.mask.stem)) for pair in find_pairs(tmp_path, suffix)]
    assert names == [(name, same(name + suffix)) for name in sorted(("a", "b_mask", NFC))]


def same(name):
    return unicodedata.normalize("NFC", name)


def test_a_suffix_that_was_not_given_is_found(tmp_path):
    touch(tmp_path, "images/a.jpg", "images/b.jpg", "masks/a_mask.png", "masks/b_mask.png")
    with pytest.raises(UserError, match="masks are called NAME_mask") as error:
        find_pairs(tmp_path)
    assert error.value.parameter == "mask_suffix"
    with pytest.raises(UserError, match="masks are called NAME_mask"):
        find_pairs(tmp_path, "sk")


def test_masks_without_the_suffix_are_named(tmp_path):
    touch(tmp_path, "images/a.jpg", "images/b.jpg", "masks/a_mask.png", "masks/b.png")
    with pytest.raises(UserError, match=r"holds b\.png, .* NAME_mask") as error:
        find_pairs(tmp_path, "_mask")
    assert error.value.parameter == "mask_suffix"


def test_subfolders_are_paired_with_each_other(tmp_path):
    touch(
        tmp_path, "images/1.jpg", "images/east/1.jpg", "images/west/1.JPG", "images/west/in/2.tif"
    )
    touch(tmp_path, "masks/1.png", "masks/east/1.png", "masks/west/1.png", "masks/west/in/2.png")
    touch(
        tmp_path, "images/.trash/3.jpg", "images/@eaDir/1.jpg/thumb.jpg", "masks/__MACOSX/._1.png"
    )
    assert [pair.name for pair in find_pairs(tmp_path)] == ["1"]
    pairs = find_pairs(tmp_path, recursive=True)
    assert [pair.name for pair in pairs] == ["1", "east/1", "west/1", "west/in/2"]
    for pair in pairs:
        place = pair.photo.relative_to(tmp_path / "images").parent
        assert pair.mask.relative_to(tmp_path / "masks").parent == place


def test_pictures_only_in_subfolders(tmp_path):
    touch(tmp_path, "images/east/1.jpg", "masks/east/1.png")
    with pytest.raises(UserError, match="only in subfolders") as error:
        find_pairs(tmp_path)
    assert error.value.parameter == "recursive"
    touch(tmp_path, "images/west/1.jpg")
    with pytest.raises(UserError, match=r"no mask for west/1\.jpg"):
        find_pairs(tmp_path, recursive=True)


def test_a_link_to_a_folder_is_followed_once(tmp_path):
    touch(tmp_path, "elsewhere/1.jpg", "masks/site/1.png", "images/.keep")
    (tmp_path / "images" / "site").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "images", target_is_directory=True)
    assert [pair.name for pair in find_pairs(tmp_path, recursive=True)] == ["site/1"]


def test_a_picture_of_a_kind_that_is_not_read_is_named(tmp_path):
    touch(tmp_path, "images/a.jxl", "images/b.jpg", "masks/a.png", "masks/b.png")
    with pytest.raises(UserError, match=r"no photograph for a\.png \(a\.jxl: .* not read"):
        find_pairs(tmp_path)


def test_pictures_as_they_are_stored(tmp_path, rng):
    photo = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    mask = rng.random((20, 30)) < 0.2
    exif = Image.Exif()
    exif[0x0112] = int(rng.integers(2, 9))
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    Image.fromarray(photo).save(tmp_path / "images" / "a.png", exif=exif)
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    [pair] = find_pairs(tmp_path, as_stored=True)
    found = read_pair(pair)
    np.testing.assert_array_equal(found[0], photo)
    np.testing.assert_array_equal(found[1], mask)
