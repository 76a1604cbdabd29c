"""Photographs that EXIF turns, and masks that were drawn on the pixels as they are stored."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from minispiral.data.decode import orientation_of
from minispiral.data.exif import orientation, turn
from minispiral.data.pairs import examine_pair, find_pairs, read_pair
from minispiral.data.photos import read_mask, read_photo
from minispiral.errors import UserError

SUFFIXES = ["png", "jpg", "tif", "webp"]


def save(array, path, turned=1):
    exif = Image.Exif()
    exif[0x0112] = turned
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **({} if turned == 1 else {"exif": exif}))


def pair_of(folder, rng, size, photo_turn, mask_turn, suffix="png", mask_size=None):
    h, w = size
    coarse = rng.integers(0, 256, (h // 8, w // 8, 3), dtype=np.uint8)
    photo = np.asarray(Image.fromarray(coarse).resize((w, h), Image.Resampling.BICUBIC))
    mask = np.zeros(mask_size or size, np.uint8)
    mask[3:6, 2:20] = 255
    save(photo, folder / f"images/a.{suffix}", photo_turn)
    save(mask, folder / "masks/a.png", mask_turn)
    return find_pairs(folder)[0], photo, mask > 0


def kinds(pair):
    return [problem.kind for problem in examine_pair(pair)[2]]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("turned", range(1, 9))
def test_as_stored(tmp_path, rng, suffix, turned):
    pair, photo, mask = pair_of(tmp_path, rng, (40, 64), turned, turned, suffix)
    assert orientation_of(pair.photo) == orientation_of(pair.mask) == turned
    upright, shown_mask = read_pair(pair)
    stored, stored_mask = read_pair(dataclasses.replace(pair, as_stored=True))
    assert abs(stored.astype(int) - photo).max() <= (0 if suffix in ("png", "tif") else 60)
    np.testing.assert_array_equal(stored_mask, mask)
    assert upright.shape[:2] == ((64, 40) if turned > 4 else (40, 64))
    assert upright.shape[:2] == shown_mask.shape
    assert not kinds(pair)
    expected = np.asarray(turn(Image.fromarray(stored), turned))
    np.testing.assert_array_equal(upright, expected)
    back = np.asarray(turn(Image.fromarray(upright), turned, back=True))
    np.testing.assert_array_equal(back, stored)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("turned", range(2, 9))
def test_square_mask_without_exif(tmp_path, rng, suffix, turned):
    pair, _, mask = pair_of(tmp_path, rng, (48, 48), turned, 1, suffix)
    assert kinds(pair) == ["EXIF"]
    problem = examine_pair(pair)[2][0]
    assert problem.file == pair.photo
    assert "EXIF" in problem.text
    assert not problem.error
    stored = dataclasses.replace(pair, as_stored=True)
    assert not kinds(stored)
    np.testing.assert_array_equal(read_pair(stored)[1], mask)


@pytest.mark.parametrize("turned", range(2, 9))
def test_mask_of_another_shape(tmp_path, rng, turned):
    pair, _, _ = pair_of(tmp_path, rng, (40, 56), turned, 1)
    if turned <= 4:  # turned over, or by half a turn: the sizes do not tell
        assert kinds(pair) == ["EXIF"]
        return
    for read in (read_pair, examine_pair):
        with pytest.raises(UserError, match=r"a\.png .*EXIF turns the photograph alone") as error:
            read(pair)
        assert error.value.parameter == "as_stored"
    assert not kinds(dataclasses.replace(pair, as_stored=True))


@pytest.mark.parametrize("turned", [5, 6, 7, 8])
def test_mask_of_the_turned_photograph(tmp_path, rng, turned):
    pair, _, mask = pair_of(tmp_path, rng, (40, 56), turned, 1, mask_size=(56, 40))
    assert not kinds(pair)
    np.testing.assert_array_equal(read_pair(pair)[1], mask)
    with pytest.raises(UserError, match="EXIF would turn the photograph alone; read them as EXIF"):
        read_pair(dataclasses.replace(pair, as_stored=True))


def test_mask_that_exif_turns_alone(tmp_path, rng):
    pair, _, _ = pair_of(tmp_path, rng, (40, 56), 1, 6)
    with pytest.raises(UserError, match="EXIF turns the mask alone"):
        read_pair(pair)
    pair, _, _ = pair_of(tmp_path, rng, (40, 40), 1, 3)
    assert kinds(pair) == ["EXIF"]
    pair, _, _ = pair_of(tmp_path, rng, (40, 40), 6, 8)
    assert kinds(pair) == ["EXIF"]


def test_other_sizes_are_not_blamed_on_exif(tmp_path, rng):
    pair, _, _ = pair_of(tmp_path, rng, (40, 56), 6, 1, mask_size=(40, 57))
    with pytest.raises(UserError, match="the two must have the same size") as error:
        read_pair(pair)
    assert "EXIF" not in str(error.value)
    pair, _, _ = pair_of(tmp_path, rng, (40, 56), 1, 1, mask_size=(56, 40))
    with pytest.raises(UserError, match="the two must have the same size"):
        read_pair(pair)


# What a viewer shows of a stored array, by EXIF orientation (Exif 2.32, section 4.6.4).
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("turned", UPRIGHT)
@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "I", "LA", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_every_mode_of_tiff_and_png(tmp_path, rng, turned, mode, compression):
    h, w = (int(n) for n in rng.integers(5, 20, 2))
    values = rng.integers(0, 256, (h, w), dtype=np.uint8)
    values[0, 0] = 255
    if mode.startswith("I"):
        image = Image.fromarray(values.astype({"I": np.int32, "I;16": np.uint16}[mode]) * 257)
    else:
        image = Image.fromarray(values).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = turned
    image.save(tmp_path / "turned.tif", exif=exif, compression=compression)
    image.save(tmp_path / "plain.tif", compression=compression)
    files = [("turned.tif", "plain.tif")]
    if mode not in ("CMYK", "I") and compression is None:
        image.save(tmp_path / "turned.png", exif=exif)
        image.save(tmp_path / "plain.png")
        files.append(("turned.png", "plain.png"))
    for name, plain in files:
        for read in (read_photo, read_mask):
            stored = read(tmp_path / plain)
            assert stored.shape[:2] == (h, w)
            np.testing.assert_array_equal(read(tmp_path / name), UPRIGHT[turned](stored))
            np.testing.assert_array_equal(read(tmp_path / name, as_stored=True), stored)


@pytest.mark.parametrize("value", [0, 9, 77, "6", None])
def test_orientations_that_do_not_exist(tmp_path, value):
    image = Image.new("RGB", (5, 3))
    image.getexif()[0x0112] = value
    assert orientation(image) == 1
