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


def darkened(photo, line, sd, level):
    """Light taken away beside ``line`` as by dirt: a Gaussian of ``sd`` px across it."""
    (ax, ay), (bx, by) = line.points
    rows, cols = np.indices(photo.shape[:2]) + 0.5
    far = ((cols - ax) * (by - ay) - (rows - ay) * (bx - ax)) / np.hypot(bx - ax, by - ay)
    taken = 1 - level * np.exp(-0.5 * (far / sd) ** 2)
    return np.rint(photo * taken[..., None]).astype(np.uint8)


def test_dirt_along_a_crack_is_told_and_widens_its_interval(rng):
    line = straight(rng.uniform(0.7, 1.2), rng.uniform(-8, 8), shift=-35)  # room for a clean wall
    photo = photograph(rng, [line], blur=0.7, transfer="linear")
    found = [
        measure(each, trace([line]), transfer="linear")
        for each in (photo, darkened(photo, line, 3, rng.uniform(0.16, 0.2)))
    ]
    clean, dirty = ({caveat.kind for caveat in each.caveats} for each in found)
    assert "dirty" not in clean
    assert "dirty" in dirty
    notes = [each.cracks[0].notes for each in found]
    assert "dirt or shadow along it" in notes[1]
    assert notes[0] == ()
    mean = found[1].cracks[0].mean
    assert mean.low < line.widths[0] < mean.high


def test_a_wet_wall_along_a_crack_is_told(rng):
    line = straight(rng.uniform(1, 2), rng.uniform(20, 70))
    photo = photograph(rng, [line], transfer="linear")
    kinds_of = [
        {caveat.kind for caveat in measure(each, trace([line]), transfer="linear").caveats}
        for each in (photo, darkened(photo, line, 12, 0.25))
    ]
    assert "damp" not in kinds_of[0]
    assert "damp" in kinds_of[1]


def test_two_cracks_taken_for_one_are_told(rng):
    turn = rng.uniform(0, 180)
    lines = [straight(1.5, turn, shift=shift) for shift in (-3.5, 3.5)]
    photo = photograph(rng, lines, blur=0.7)
    (one,) = measure(photo, trace(lines[:1])).cracks
    assert "another crack within 10 pixels" in one.notes
    (alone,) = measure(photograph(rng, lines[:1], blur=0.7), trace(lines[:1])).cracks
    assert alone.notes == ()


def test_unequal_light_on_both_sides_is_told(rng):
    line = straight(1.5, 90)
    photo = photograph(rng, [line], transfer="linear").astype(float)
    photo[:, photo.shape[1] // 2 :] *= 0.75
    photo = photo.astype(np.uint8)
    (crack,) = measure(photo, trace([line]), transfer="linear").cracks
    assert "the light differs on both sides of it" in crack.notes
