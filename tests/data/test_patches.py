"""Patches are drawn uniformly, with flips."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from minispiral.data.pairs import Pair, find_pairs
from minispiral.data.patches import PatchSampler
from minispiral.data.store import PhotoStore
from minispiral.errors import UserError
from minispiral.kernels import layout
from tests.small import write_pair


def test_draw_shapes_and_range(store, rng):
    pixels, mask, flips = PatchSampler(store, 19, 6).draw(rng)
    assert pixels.shape == (6, 19, 19, 3)
    assert pixels.dtype == np.uint8
    assert mask.shape == (6, 19, 19, 1)
    assert mask.dtype == np.bool_
    assert flips.shape == (6, 2)
    assert flips.dtype == np.bool_
    assert pixels.flags.c_contiguous
    assert pixels.min() < 12
    assert pixels.max() > 243


def test_patches_are_uniform_windows_with_flips(tmp_path, rng):
    """Red and green tell the place of a pixel, blue the photograph."""
    p, sizes = 5, [(7, 5), (5, 6), (6, 9)]
    for i, (h, w) in enumerate(sizes):
        rows, columns = np.mgrid[:h, :w]
        photo = np.stack([rows, columns, np.full((h, w), 100 * i)], -1).astype(np.uint8)
        write_pair(tmp_path, str(i), photo, (rows * 3 + columns + i) % 4 == 0)
    store = PhotoStore(find_pairs(tmp_path), tmp_path)
    sampler = PatchSampler(store, p, 50)
    seen = Counter()
    for _ in range(120):
        patches, masks, flips = sampler.draw(rng)
        patches, masks = layout.flip(patches, flips).astype(int), layout.flip(masks, flips)
        for patch, mask in zip(patches, masks[..., 0], strict=True):
            rows, columns, blue = patch[..., 0], patch[..., 1], patch[..., 2]
            i, top, left = blue[0, 0] // 100, rows.min(), columns.min()
            down, right = rows[0, 0] == top, columns[0, 0] == left
            expected = np.mgrid[top : top + p, left : left + p]
            expected = expected[:, :: 1 if down else -1, :: 1 if right else -1]
            np.testing.assert_array_equal([rows, columns], expected)
            assert (blue == 100 * i).all()
            np.testing.assert_array_equal(mask, (rows * 3 + columns + i) % 4 == 0)
            seen[i, top, left, down, right] += 1
    draws = seen.total()
    chi_squared = 0.0
    cells = 0
    for i, (h, w) in enumerate(sizes):
        places = (h - p + 1) * (w - p + 1)
        mean = draws / (len(sizes) * places * 4)
        for (index, *_), count in seen.items():
            chi_squared += (count - mean) ** 2 / mean if index == i else 0
        cells += places * 4
    assert len(seen) == cells
    assert chi_squared < cells + 7 * np.sqrt(2 * cells)
    store.close()


def test_draws_repeat_with_the_seed(store):
    sampler = PatchSampler(store, 15, 4)
    first, again = (sampler.draw(np.random.default_rng(3)) for _ in range(2))
    other = sampler.draw(np.random.default_rng(4))
    for array, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(array, same)
    assert (first[0] != other[0]).any()


def test_patch_larger_than_a_photograph(dataset, store):
    _, arrays = dataset
    side = min(min(mask.shape) for _, mask in arrays)
    PatchSampler(store, side, 1)
    smallest = next(i for i, (_, mask) in enumerate(arrays) if min(mask.shape) == side)
    h, w = arrays[smallest][1].shape
    with pytest.raises(UserError, match=rf"{smallest}\.png is {w} x {h} .*{side + 1} x {side + 1}"):
        PatchSampler(store, side + 1, 1)


def test_masks_without_any_crack(tmp_path):
    for i in range(2):
        write_pair(tmp_path, str(i), np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), bool))
    store = PhotoStore(find_pairs(tmp_path), tmp_path)
    with pytest.raises(UserError, match="None of the 2 masks"):
        PatchSampler(store, 5, 1)
    store.close()


class EndlessStore:
    """A single photograph of a terapixel, to be drawn from but never copied."""

    pairs = (Pair("a", Path("a.png"), Path("b.png")),)
    crack_pixels = 10**12

    def __len__(self):
        return 1

    def photo(self, i):
        return np.broadcast_to(np.uint8(255), (10**6, 10**6, 3))

    def mask(self, i):
        return np.broadcast_to(np.True_, (10**6, 10**6))


def test_a_draw_touches_only_its_patch(rng):
    pixels, mask, _ = PatchSampler(EndlessStore(), 15, 2).draw(rng)
    assert (pixels == 255).all()
    assert mask.all()


def test_a_share_of_the_patches_is_drawn_around_cracks(tmp_path, rng):
    """Uniformly over photographs with crack, their crack pixels, and the windows around one."""
    p, sizes = 3, [(6, 8), (7, 5), (5, 5)]
    masks = [np.zeros(size, bool) for size in sizes]
    masks[0][0, [1, 7]] = masks[0][3, 4] = masks[1][6, 2] = True
    for i, mask in enumerate(masks):
        rows, columns = np.indices(mask.shape)
        photo = np.stack([rows, columns, np.full(mask.shape, 100 * i)], -1).astype(np.uint8)
        write_pair(tmp_path, str(i), photo, mask)
    store = PhotoStore(find_pairs(tmp_path), tmp_path)
    expected = Counter()
    for i, count in ((0, 3), (1, 1)):
        h, w = sizes[i]
        for row, column in np.argwhere(masks[i]):
            windows = [
                (i, top, left)
                for top in range(max(0, row - p + 1), min(row, h - p) + 1)
                for left in range(max(0, column - p + 1), min(column, w - p) + 1)
            ]
            for window in windows:
                expected[window] += 0.5 / count / len(windows)
    draws, seen = 1500, Counter()
    pixels, mask, _ = PatchSampler(store, p, draws, crack_share=1.0).draw(rng)
    assert mask.any((1, 2, 3)).all()
    for patch in pixels:
        seen[patch[0, 0, 2] // 100, patch[..., 0].min(), patch[..., 1].min()] += 1
    assert seen.keys() == expected.keys()
    chi_squared = sum((seen[k] - draws * x) ** 2 / (draws * x) for k, x in expected.items())
    assert chi_squared < len(expected) + 7 * np.sqrt(2 * len(expected))

    half = PatchSampler(store, p, draws, crack_share=0.5)
    plain = PatchSampler(store, p, draws).draw(rng)[1].any((1, 2, 3)).mean()
    found = half.draw(rng)[1].any((1, 2, 3)).mean()
    assert found == pytest.approx(0.5 + 0.5 * plain, abs=0.06)
    share = np.mean(half.draw(rng)[1])
    assert half.share_of_crack() == pytest.approx(share, rel=0.3)  # of 500 patches
    store.close()
