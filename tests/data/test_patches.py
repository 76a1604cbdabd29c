"""Pairs are found, decoded once, drawn from evenly, and drawn ahead without changing a bit."""

import mmap
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minispiral.data.pairs import Pair, find_pairs
from minispiral.data.patches import PatchSampler, prefetch
from minispiral.data.store import PhotoStore
from minispiral.errors import UserError


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write_pair(folder, name, photo, mask):
    for part, array in (("images", photo), ("masks", mask)):
        (folder / part).mkdir(exist_ok=True)
        Image.fromarray(array).save(folder / part / name)


@pytest.fixture
def dataset(tmp_path, rng):
    """Five photographs of odd sizes, as arrays and as files."""
    folder = tmp_path / "data"
    folder.mkdir()
    arrays = []
    for i in range(5):
        h, w = rng.integers(20, 60, 2)
        photo = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
        mask = rng.random((h, w)) < 0.1
        write_pair(folder, f"{i}.png", photo, mask * np.uint8(i % 2 or 255))
        arrays.append((photo, mask))
    return folder, arrays


@pytest.fixture
def store(dataset, tmp_path):
    store = PhotoStore(find_pairs(dataset[0]), tmp_path)
    yield store
    store.close()


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


def test_store_holds_what_the_files_hold(dataset, tmp_path):
    folder, arrays = dataset
    progress = []
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    store = PhotoStore(find_pairs(folder), scratch, lambda *counts: progress.append(counts))
    assert len(store) == 5
    for i, (photo, mask) in enumerate(arrays):
        np.testing.assert_array_equal(store.photo(i), photo)
        assert store.mask(i).dtype == np.bool_
        np.testing.assert_array_equal(store.mask(i), mask)
    assert store.pixels == sum(mask.size for _, mask in arrays)
    assert store.crack_pixels == sum(mask.sum() for _, mask in arrays)
    assert progress == [(i, 5) for i in range(1, 6)]
    with pytest.raises(ValueError, match="read-only"):
        store.photo(0)[0, 0] = 0
    if sys.platform != "win32":
        assert not any(scratch.iterdir())
    store.close()
    store.close()


def test_sizes_that_differ_are_named(dataset, tmp_path):
    folder, _ = dataset
    write_pair(folder, "7.png", np.zeros((30, 40, 3), np.uint8), np.zeros((40, 30), np.uint8))
    with pytest.raises(UserError, match=r"images.7\.png is 40 x 30 .*masks.7\.png is 30 x 40"):
        PhotoStore(find_pairs(folder), tmp_path)


def test_unreadable_file_is_named_and_stops_the_decoding(dataset, tmp_path):
    folder, _ = dataset
    (folder / "images" / "1.png").write_bytes(b"no picture")
    done = []
    with pytest.raises(UserError, match=r"images.1\.png"):
        PhotoStore(find_pairs(folder) * 50, tmp_path, lambda count, _: done.append(count))
    assert done == [1]


def test_interruption_stops_the_decoding(dataset, tmp_path, monkeypatch):
    import minispiral.data as data

    read = []
    monkeypatch.setattr(data, "read_photo", lambda path: read.append(path) or slow_photo(path))

    def slow_photo(path):
        threading.Event().wait(0.02)
        return np.asarray(Image.open(path))

    def interrupt(done, _):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PhotoStore(find_pairs(dataset[0]) * 20, tmp_path, interrupt)
    assert len(read) < 20


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_full_disk(dataset, tmp_path):
    import resource

    pairs = find_pairs(dataset[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.raises(UserError, match="room") as error:
            PhotoStore(pairs, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(tmp_path) in str(error.value)


def test_missing_scratch_folder(dataset, tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        PhotoStore(find_pairs(dataset[0]), tmp_path / "nowhere")


def test_draw_shapes_and_range(store, rng):
    pixels, mask = PatchSampler(store, 19, 6).draw(rng)
    assert pixels.shape == (6, 19, 19, 3)
    assert pixels.dtype == np.uint8
    assert mask.shape == (6, 19, 19, 1)
    assert mask.dtype == np.bool_
    assert pixels.flags.c_contiguous
    assert pixels.min() < 12
    assert pixels.max() > 243


def test_patches_are_uniform_windows_with_flips(tmp_path, rng):
    """Red and green tell the place of a pixel, blue the photograph."""
    p, sizes = 5, [(7, 5), (5, 6), (6, 9)]
    for i, (h, w) in enumerate(sizes):
        rows, columns = np.mgrid[:h, :w]
        photo = np.stack([rows, columns, np.full((h, w), 100 * i)], -1).astype(np.uint8)
        write_pair(tmp_path, f"{i}.png", photo, ((rows * 3 + columns + i) % 4 == 0) * np.uint8(1))
    store = PhotoStore(find_pairs(tmp_path), tmp_path)
    sampler = PatchSampler(store, p, 50)
    seen = Counter()
    for _ in range(120):
        patches, masks = sampler.draw(rng)
        patches = patches.astype(int)
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
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
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
        write_pair(tmp_path, f"{i}.png", np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8))
    store = PhotoStore(find_pairs(tmp_path), tmp_path)
    with pytest.raises(UserError, match="None of the 2 masks"):
        PatchSampler(store, 5, 1)
    store.close()


def test_photographs_are_mapped_not_loaded(store):
    photo = store.photo(1)
    assert np.shares_memory(photo, store.photo(1))
    owner = photo
    while isinstance(owner, np.ndarray):
        owner = owner.base
    assert isinstance(owner, mmap.mmap)


class EndlessStore:
    """One photograph of a terapixel, to be drawn from but never copied."""

    pairs = (Pair("a", Path("a.png"), Path("b.png")),)
    crack_pixels = 10**12

    def __len__(self):
        return 1

    def photo(self, i):
        return np.broadcast_to(np.uint8(255), (10**6, 10**6, 3))

    def mask(self, i):
        return np.broadcast_to(np.True_, (10**6, 10**6))


def test_a_draw_touches_only_its_patch(rng):
    pixels, mask = PatchSampler(EndlessStore(), 15, 2).draw(rng)
    assert (pixels == 255).all()
    assert mask.all()


def test_prefetch_yields_what_draw_yields(store):
    sampler = PatchSampler(store, 17, 3)
    rng = np.random.default_rng(5)
    batches = list(prefetch(sampler, np.random.default_rng(5), 7))
    assert len(batches) == 7
    for batch in batches:
        pixels, mask = sampler.draw(rng)
        np.testing.assert_array_equal(batch.pixels, pixels)
        np.testing.assert_array_equal(batch.mask, mask)
        assert batch.random_state == rng.bit_generator.state


def test_batches_to_be_flipped_elsewhere_become_the_same(store, rng):
    """Here batch by batch, by reversing axes; the random states are the same too."""
    sampler, seed = PatchSampler(store, 17, 3), int(rng.integers(2**32))
    flipped, cut = (
        prefetch(sampler, np.random.default_rng(seed), 20, flipped=flipped)
        for flipped in (True, False)
    )
    seen = set()
    for batch, other in zip(flipped, cut, strict=True):
        assert batch.flips is None
        assert other.flips.dtype == np.bool_
        for k, flips in enumerate(other.flips):
            axes = np.flatnonzero(flips)
            np.testing.assert_array_equal(batch.pixels[k], np.flip(other.pixels[k], axes))
            np.testing.assert_array_equal(batch.mask[k], np.flip(other.mask[k], axes))
            seen.add(tuple(flips))
        assert batch.random_state == other.random_state
    assert len(seen) == 4


def test_prefetch_resumes_from_any_batch(store, rng):
    sampler = PatchSampler(store, 17, 3)
    batches = list(prefetch(sampler, np.random.default_rng(int(rng.integers(2**32))), 6))
    for step, batch in enumerate(batches):
        resumed = np.random.default_rng()
        resumed.bit_generator.state = batch.random_state
        following = list(prefetch(sampler, resumed, 5 - step))
        assert len(following) == 5 - step
        for again, expected in zip(following, batches[step + 1 :], strict=True):
            np.testing.assert_array_equal(again.pixels, expected.pixels)
            np.testing.assert_array_equal(again.mask, expected.mask)
            assert again.random_state == expected.random_state


class StubSampler:
    """Draws numbers, tells when, and fails at will."""

    def __init__(self, fail_at=None):
        self.fail_at = fail_at
        self.drawn = [threading.Event() for _ in range(10)]
        self.count = 0

    def draw(self, rng):
        if self.count == self.fail_at:
            raise OSError("the disk went away")
        pixels = rng.integers(256, size=(1, 1, 1, 3), dtype=np.uint8)
        self.drawn[self.count].set()
        self.count += 1
        return pixels, pixels[..., :1] < 128


def prefetch_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_next_batch_is_drawn_while_this_one_is_used(rng):
    sampler = StubSampler()
    batches = prefetch(sampler, rng, 5)
    next(batches)
    assert sampler.drawn[1].wait(10)
    assert not sampler.drawn[2].wait(0.05)
    batches.close()
    assert not prefetch_threads()


def test_prefetch_ends_its_thread_and_draws_no_more_than_asked(rng):
    for count in (0, 1, 4):
        sampler = StubSampler()
        assert len(list(prefetch(sampler, rng, count))) == count
        assert sampler.count == count
        assert not prefetch_threads()


def test_errors_of_the_thread_reach_the_caller(rng):
    batches = prefetch(StubSampler(fail_at=2), rng, 5)
    next(batches)
    next(batches)
    with pytest.raises(OSError, match="went away"):
        next(batches)
    assert not prefetch_threads()
