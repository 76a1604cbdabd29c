"""Augmented patches: what is done to pixels is done to masks, and thin cracks are not lost."""

import numpy as np
import pytest
from PIL import Image

from minispiral.data import augment as augmenting
from minispiral.data.augment import SCALES, augment, resized_mask, window_side
from minispiral.data.patches import PatchSampler


def lines(rng, side, width):
    """A random walk across a square, ``width`` pixels wide, 8-connected."""
    mask = np.zeros((side, side), bool)
    row = int(rng.integers(3, side - 3 - width))
    for column in range(side):
        row = int(np.clip(row + rng.integers(-1, 2), 1, side - 1 - width))
        mask[row : row + width, column] = True
    return mask if rng.random() < 0.5 else mask.T.copy()


def pieces(mask):
    """The number of 8-connected pieces, by flooding."""
    left, count = set(map(tuple, np.argwhere(mask))), 0
    while left:
        count += 1
        waiting = [left.pop()]
        while waiting:
            y, x = waiting.pop()
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            waiting += near
    return count


@pytest.mark.parametrize("width", [1, 3])
def test_no_line_is_lost_broken_or_fat(rng, width):
    """Checked by columns or rows, of which the line crosses each once."""
    patch = int(rng.integers(40, 61))
    for side in (*rng.integers(round(patch / 1.4), round(patch / 0.7), 8), patch - 1, patch + 1):
        mask = lines(rng, int(side), width)
        small = resized_mask(mask, patch)
        assert small.shape == (patch, patch)
        assert pieces(small) == pieces(mask) == 1
        across = max(small.any(axis).sum() for axis in (0, 1))
        assert across == patch
        thickness, scale = small.sum() / patch, patch / side
        walked = mask.sum() / side  # a step aside makes a line of one pixel no thicker
        assert thickness <= max(1, scale) * walked + 1.2


def test_masks_and_pixels_stay_together(rng, monkeypatch: pytest.MonkeyPatch):
    """The dark spot in the patch lies where the mask says, to half a pixel."""
    for name, value in {"BLUR": 0.01, "NOISE": 0.01, "QUALITIES": (95, 95)}.items():
        monkeypatch.setattr(augmenting, name, value)
    patch = 63
    for _ in range(12):
        side = int(rng.integers(round(patch / 1.4), round(patch / 0.7)))
        y, x = rng.integers(4, side - 9, 2)
        mask = np.zeros((side, side), bool)
        mask[y : y + 5, x : x + 4] = True
        window = np.where(mask[..., None], 40, 180).astype(np.uint8).repeat(3, axis=2)
        pixels, moved = augment(window, mask, patch, np.random.default_rng(rng.integers(2**32)))
        assert (pixels.shape, pixels.dtype) == ((patch, patch, 3), np.uint8)
        grey = pixels.mean(axis=2)
        dark = np.clip(np.median(grey) - grey - 3, 0, None)
        at = np.mgrid[:patch, :patch]
        for centre in (
            (at * dark).sum((1, 2)) / dark.sum() - (at * moved).sum((1, 2)) / moved.sum(),
        ):
            assert np.abs(centre).max() < 0.75


def test_scales_cover_their_range_and_quarter_turns_come(rng):
    sides = np.array([window_side(1000, rng) for _ in range(400)])
    assert 1000 / SCALES[1] - 1 < sides.min() < 740  # rounded to whole pixels
    assert 1380 < sides.max() <= np.ceil(1000 / SCALES[0])
    assert np.mean(sides < 1000) == pytest.approx(np.log(1.4) / np.log(2), abs=0.1)
    mask = np.zeros((9, 9), bool)
    mask[0] = True
    window = np.full((9, 9, 3), 99, np.uint8)
    turned = [augment(window, mask, 9, rng)[1] for _ in range(40)]
    kinds = {turn.tobytes() for turn in turned}
    assert kinds == {mask.tobytes(), np.rot90(mask).tobytes()}


def test_every_change_shows_and_keeps_to_its_size(rng):
    """On even grey: light moves the mean, noise the spread; nothing leaves 0 to 255."""
    mask = np.zeros((99, 99), bool)
    patches = [
        augment(np.full((99, 99, 3), level, np.uint8), mask, 99, rng)[0].astype(float)
        for level in (0, 128, 255)
        for _ in range(20)
    ]
    means = np.array([patch.mean((0, 1)) for patch in patches])
    spreads = np.array([patch.std((0, 1)).mean() for patch in patches])
    assert np.abs(means[20:40] - 128).max() < 30 + 0.07 * 160
    assert means[20:40].std() > 5
    assert np.ptp(means[20:40], axis=1).max() > 3  # colours apart
    assert spreads.min() == 0
    assert 2 < spreads.max() < 9
    rough = rng.integers(60, 200, (99, 99, 3), dtype=np.uint8)
    changed = [augment(rough, mask, 99, rng)[0].std() for _ in range(80)]
    assert max(changed) > 1.08 * rough.std()  # contrast up: noise alone makes 1.03 of it
    assert min(changed) < 0.7 * rough.std()  # contrast down, blur, JPEG


def test_the_parts_of_processes_are_those_of_the_whole(store, rng):
    seed = int(rng.integers(2**32))
    options = {"crack_share": 0.4, "augment": True}
    whole = PatchSampler(store, 19, 7, **options)
    parts = [PatchSampler(store, 19, 7, range(*own), **options) for own in ((0, 3), (3, 7), (7, 7))]
    one, *others = (np.random.default_rng(seed) for _ in range(4))
    for _ in range(3):
        expected = whole.draw(one)
        found = [part.draw(other) for part, other in zip(parts, others, strict=True)]
        for arrays, wanted in zip(zip(*found, strict=True), expected, strict=True):
            assert np.concatenate(arrays).tobytes() == wanted.tobytes()
    assert all(other.bit_generator.state == one.bit_generator.state for other in others)


def test_a_photograph_smaller_than_the_window_gives_what_there_is(store, rng):
    side = min(min(store.mask(i).shape) for i in range(len(store)))
    pixels, mask, _ = PatchSampler(store, side, 40, augment=True).draw(rng)
    assert pixels.shape == (40, side, side, 3)
    assert mask.any()


def test_pillow_is_what_makes_the_photographs(rng):
    """Where nothing but the size changes, it is Pillow's bilinear filter."""
    window = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(window).resize((31, 31), Image.Resampling.BILINEAR))

    class Still:
        random = staticmethod(lambda: 0.9)
        uniform = staticmethod(lambda low, high, size=None: np.full(size or (), (low + high) / 2))

    pixels, _ = augment(window, np.zeros((40, 40), bool), 31, Still())  # type: ignore[arg-type]
    assert np.abs(pixels.astype(int) - expected).max() <= 1
