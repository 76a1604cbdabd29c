"""The overlay that a detection writes: the photograph's metadata, and its pixels turned once."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from minispiral.data.photos import read_photo
from minispiral.detection.detect import detect


@pytest.mark.parametrize("as_stored", [False, True])
def test_viewers_show_the_overlay_as_it_was_searched(
    as_stored: bool, trained: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = int(rng.integers(2, 9)), "ACME"
    tags[0x8825] = {1: "N", 2: (48.0, 8.0, 12.5), 3: "E", 4: (11.0, 34.0, 1.0)}
    ramp = np.add.outer(np.arange(40), 3 * np.arange(31)).astype(np.uint8)
    photo = tmp_path / "wall.png"
    Image.fromarray(ramp).convert("RGB").save(photo, exif=tags.tobytes())
    [found] = detect(
        trained / "run", [str(photo)], tmp_path / "out", threshold=1, as_stored=as_stored
    )
    with Image.open(found.overlay) as overlay:
        shown = np.asarray(ImageOps.exif_transpose(overlay)).astype(int)
        assert overlay.getexif()[0x010F] == "ACME"
        assert overlay.getexif().get_ifd(0x8825)[2] == (48.0, 8.0, 12.5)
    searched = read_photo(photo, as_stored).astype(int)
    assert shown.shape == searched.shape
    assert np.abs(shown - searched).mean() < 3  # by JPEG
    assert Image.open(found.mask).size == shown.shape[1::-1]
