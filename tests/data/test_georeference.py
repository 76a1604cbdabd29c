"""Where photographs lie in the world, against the definition of world files and GeoTIFF."""

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from minispiral.data.georeference import georeference
from minispiral.data.photos import read_photo
from minispiral.errors import UserError


def random_affine(rng):
    """A, D, B, E, C, F as in a world file: some mm per pixel, turned, far from the origin."""
    side, turn = rng.uniform(1e-4, 1e-2), rng.uniform(0, 2 * np.pi)
    a, d = side * np.cos(turn), side * np.sin(turn)
    return a, d, d, -a, *rng.uniform(1e5, 6e6, 2)


def world_of(numbers, col, row):
    a, d, b, e, c, f = numbers
    return a * col + b * row + c, d * col + e * row + f


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffixes", [(".jpg", ".jgw"), (".TIF", ".tfw"), (".png", ".wld")])
def test_world_file_speaks_of_the_stored_pixels(orientation, suffixes, rng, tmp_path):
    suffix, world = suffixes
    h, w = rng.integers(20, 60, 2)
    row, col = rng.integers(h // 8) * 8 + 3, rng.integers(w // 8) * 8 + 3
    pixels = np.zeros((h, w, 3), np.uint8)
    pixels[row, col] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = tmp_path / f"wall{suffix}"
    Image.fromarray(pixels).save(photo, exif=exif, quality=95)
    numbers = random_affine(rng)
    photo.with_suffix(world).write_text("\n".join(f"{number:.9f}" for number in numbers))
    for as_stored in (False, True):
        shown = read_photo(photo, as_stored)[..., 1]
        y, x = np.unravel_index(shown.argmax(), shown.shape)
        place = georeference(photo, as_stored)
        found = place.world(np.array([[x + 0.5, y + 0.5]]))[0]
        pixel = np.hypot(*numbers[:2])
        np.testing.assert_allclose(found, world_of(numbers, col, row), rtol=0, atol=pixel / 40)
        assert place.pixel == pytest.approx(pixel, rel=1e-3)


@pytest.mark.parametrize("point", [False, True])
@pytest.mark.parametrize("matrix", [False, True])
def test_geotiff_tags(point, matrix, rng, tmp_path):
    side, (x, y) = rng.uniform(1e-3, 1e-2), rng.uniform(1e5, 6e6, 2)
    col, row = rng.uniform(0, 9, 2)  # the tie point
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if matrix:
        whole = (side, 0, 0, x - side * col, 0, -side, 0, y + side * row, 0, 0, 0, 0, 0, 0, 0, 1)
        tags[34264] = tuple(map(float, whole))
    else:
        tags[33550], tags[33922] = (side, side, 0.0), (col, row, 0.0, x, y, 0.0)
    keys = (1, 1, 0, 3, 1025, 0, 1, 2 if point else 1, 3072, 0, 1, 25832, 3076, 0, 1, 9001)
    tags[34735] = keys
    for tag, kind in ((34264, 12), (33550, 12), (33922, 12), (34735, 3)):
        tags.tagtype[tag] = kind
    Image.new("RGB", (31, 17)).save(tmp_path / "wall.tif", tiffinfo=tags)
    place = georeference(tmp_path / "wall.tif")
    assert (place.epsg, place.metres) == (25832, True)
    shift = 0.5 if point else 0.0  # then the tie point counts from the first pixel's centre
    found = place.world(np.array([[col + shift, row + shift]]))[0]
    np.testing.assert_allclose(found, (x, y), rtol=0, atol=side / 40)


def test_nothing_is_made_up(rng, tmp_path):
    photo = tmp_path / "wall.jpg"
    Image.new("RGB", (20, 20)).save(photo)
    assert georeference(photo) is None
    assert georeference(tmp_path / "missing.jpg") is None
    for text in ("1 2 3", "1 0 0 x 0 0", "0 0 0 0 5 5", "1 0 0 nan 0 0"):
        (tmp_path / "wall.jgw").write_text(text)
        with pytest.raises(UserError, match=r"wall\.jgw"):
            georeference(photo)
