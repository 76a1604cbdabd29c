"""EXIF, GPS and colour profile of a photograph, as a JPEG of the upright photograph takes them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from minispiral.data.metadata import LONGEST, jpeg_metadata

CAMERA, PLACE, NOTE, COMMENT = 0x8769, 0x8825, 0x927C, 0x9286
GPS = {1: "N", 2: (48.0, 8.0, 12.5), 3: "E", 4: (11.0, 34.0, 1.0), 6: 520.5}
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(orientation: int, camera: dict[int, Any]) -> bytes:
    found = Image.Exif()
    found.update({0x0112: orientation, 0x010F: "ACME", 0x0132: "2024:01:02 03:04:05"})
    found[CAMERA] = camera
    found[PLACE] = GPS
    return found.tobytes()


def written(path: Path, size: tuple[int, int]) -> Image.Image:
    """The picture that Pillow writes with the metadata of ``path``."""
    encoded = io.BytesIO()
    Image.new("RGB", size).save(encoded, "JPEG", **jpeg_metadata(path, size))
    return Image.open(encoded)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_camera_place_and_profile_are_kept_and_the_picture_is_upright(
    suffix: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    path = tmp_path / f"wall{suffix}"
    photo = Image.fromarray(rng.integers(0, 256, (60, 90, 3), np.uint8))
    camera = {0xA002: 90, 0xA003: 60, 0x920A: 8.75}
    photo.save(path, exif=exif(int(rng.integers(5, 9)), camera), icc_profile=SRGB)
    picture = written(path, (60, 90))
    tags = picture.getexif()
    assert (tags[0x0112], tags[0x010F], tags[0x0132]) == (1, "ACME", "2024:01:02 03:04:05")
    assert tags.get_ifd(PLACE) == GPS
    assert dict(tags.get_ifd(CAMERA)) == {0xA002: 60, 0xA003: 90, 0x920A: 8.75}
    assert picture.info["icc_profile"] == SRGB


def test_the_longest_values_are_left_out_until_the_rest_fits(tmp_path: Path) -> None:
    path = tmp_path / "wall.png"  # whose EXIF has no limit
    camera = {NOTE: bytes(LONGEST - 200), COMMENT: b"ASCII\0\0\0" + bytes(9000)}
    Image.new("RGB", (9, 7)).save(path, exif=exif(1, camera))
    found = jpeg_metadata(path, (9, 7))
    assert len(found["exif"]) <= LONGEST
    kept = written(path, (9, 7)).getexif().get_ifd(CAMERA)
    assert NOTE not in kept
    assert kept[COMMENT] == camera[COMMENT]


def test_what_is_not_there_or_not_of_these_pixels_is_not_made_up(tmp_path: Path) -> None:
    plain, printed = tmp_path / "plain.jpg", tmp_path / "printed.jpg"
    Image.new("RGB", (9, 7)).save(plain)
    assert jpeg_metadata(plain, (9, 7)) == {}
    inks = SRGB[:16] + b"CMYK" + SRGB[20:]
    Image.new("CMYK", (9, 7)).save(printed, icc_profile=inks)
    assert jpeg_metadata(printed, (9, 7)) == {}


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # of Pillow
def test_damaged_metadata_are_left_out(tmp_path: Path) -> None:
    whole = exif(3, {0x920A: 8.75})
    path = tmp_path / "wall.jpg"
    for damaged in (whole[:20], whole[:60], b"Exif\0\0" + b"\xff" * 40):
        Image.new("RGB", (9, 7)).save(path, exif=damaged)
        written(path, (9, 7)).load()
