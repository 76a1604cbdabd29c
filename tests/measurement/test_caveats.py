"""What a photograph says against its widths."""

import io

import numpy as np
import pytest
from PIL import Image

from minispiral.measurement import measure
from minispiral.measurement.caveats import quantisation
from tests.measurement.photograph import photograph, straight, trace


def kinds(photo, mask):
    return {caveat.kind for caveat in measure(photo, mask).caveats}


def test_the_steps_of_jpeg_are_read_from_the_pixels(rng):
    photo = rng.integers(0, 256, (200, 264, 3), dtype=np.uint8)
    photo = np.array(Image.fromarray(photo).resize((528, 400), Image.Resampling.BICUBIC))
    assert quantisation(photo) == 1
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=int(rng.integers(50, 78)))
    compressed = Image.open(file)
    # Zigzag: the three lowest frequencies after the mean are the entries 1, 2 and 4.
    steps = [compressed.quantization[0][k] for k in (1, 8, 9)]
    assert quantisation(np.array(compressed)) == max(steps)
    assert quantisation(np.array(compressed)[:, :, 1]) in (1, max(steps))


@pytest.mark.parametrize("kind", ["none", "overexposed", "underexposed"])
def test_clipped_light_is_told(rng, kind):
    line = straight(3, rng.uniform(0, 180))
    photo = photograph(rng, [line]).astype(int)
    moved = {"none": photo, "overexposed": photo + 90, "underexposed": photo - 110}[kind]
    found = kinds(moved.clip(0, 255).astype(np.uint8), trace([line]))
    assert found == ({kind} if kind != "none" else set())


def test_the_halo_of_sharpening_is_told(rng):
    from scipy.ndimage import gaussian_filter

    line = straight(2.5, rng.uniform(20, 70))
    photo = photograph(rng, [line], blur=0.9).astype(float)
    sharp = photo + 1.5 * (photo - gaussian_filter(photo, (1, 1, 0)))
    assert "sharpened" not in kinds(photo.astype(np.uint8), trace([line]))
    assert "sharpened" in kinds(sharp.clip(0, 255).astype(np.uint8), trace([line]))
