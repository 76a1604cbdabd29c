"""Photographs are decoded once, to a file, and mapped into memory."""

import mmap
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from minispiral.data.pairs import find_pairs
from minispiral.data.store import PhotoStore
from minispiral.errors import UserError
from tests.small import write_pair


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
    write_pair(folder, "7", np.zeros((30, 40, 3), np.uint8), np.zeros((40, 30), bool))
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
    read = []

    def slow_photo(path, as_stored):
        read.append(path)
        threading.Event().wait(0.02)
        return np.asarray(Image.open(path))

    monkeypatch.setattr("minispiral.data.pairs.read_photo", slow_photo)

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


def test_photographs_are_mapped_not_loaded(store):
    photo = store.photo(1)
    assert np.shares_memory(photo, store.photo(1))
    owner = photo
    while isinstance(owner, np.ndarray):
        owner = owner.base
    assert isinstance(owner, mmap.mmap)
