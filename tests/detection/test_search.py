"""Photographs that are read, searched and written at the same time, as with a GPU."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minispiral.data.photos import read_photo
from minispiral.detection import search as searching
from minispiral.detection.find import find_cracks
from minispiral.detection.search import Search
from minispiral.device import CPU, Device
from minispiral.kernels.cuda import launch
from tests.cuda_on_cpu import CpuDevice
from tests.detection.test_tiling import StandIn, brightness

GPU = Device("cuda")


@pytest.fixture(autouse=True)
def gpu() -> Iterator[None]:
    """What `GPU` stands for here: no kernel runs, since the networks compute with NumPy."""
    with launch.using(CpuDevice()):
        yield


@pytest.fixture
def photos(tmp_path: Path, rng: np.random.Generator) -> list[Path]:
    """Six photographs, of which one is damaged."""
    paths = [tmp_path / f"{name}.png" for name in "abcdef"]
    for path in paths:
        Image.fromarray(rng.integers(256, size=(31, 45, 3), dtype=np.uint8)).save(path)
    paths[1].write_bytes(paths[1].read_bytes()[:300])
    return paths


def threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith(("reading", "searching"))]


@pytest.mark.parametrize("device", [CPU, GPU])
def test_photographs_come_in_their_order_and_one_that_is_damaged_costs_no_other(
    device: Device, photos: list[Path]
) -> None:
    with Search(StandIn(brightness), device, 0.4, as_stored=False).through(photos) as searched:
        assert len(threads()) == (2 if device.is_gpu else 0)
        for photo, work in zip(photos, searched, strict=True):
            assert work.photo == photo
            if photo == photos[1]:
                assert "b.png" in work.error
                assert work.finding is work.pixels is None
                continue
            assert work.error is None
            assert work.seconds > 0
            np.testing.assert_array_equal(work.pixels, read_photo(photo))
            expected = find_cracks(StandIn(brightness), work.pixels, 0.4)
            np.testing.assert_array_equal(work.finding.probability, expected.probability)
            np.testing.assert_array_equal(work.finding.crack, expected.crack)
    assert not threads()


def test_one_photograph_is_read_and_one_searched_while_one_is_written_and_no_more(
    photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = {photo: threading.Event() for photo in photos}

    def read(photo: Path, as_stored: bool) -> object:
        begun[photo].set()
        return read_photo(photo, as_stored)

    monkeypatch.setattr(searching, "read_photo", read)
    with Search(StandIn(brightness), GPU, 0.5, as_stored=False).through(photos) as searched:
        for i, _ in enumerate(searched):
            assert all(begun[photo].wait(10) for photo in photos[: i + 3])
            assert not any(begun[photo].wait(0.02) for photo in photos[i + 3 :][:1])


def test_whoever_leaves_does_not_wait_for_the_rest(photos: list[Path]) -> None:
    begun, calls = threading.Event(), []

    def slow(x: object) -> object:
        begun.set()
        calls.append(x)
        time.sleep(0.1)
        return brightness(x)

    Image.new("RGB", (60_000, 70)).save(photos[0])
    search = Search(StandIn(slow, 64), GPU, 0.5, as_stored=False)

    def interrupted() -> None:
        with search.through(photos):
            assert begun.wait(10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not threads()
    assert len(calls) < 40  # tiles, of twice as many


def test_errors_of_a_search_reach_the_caller(photos: list[Path]) -> None:
    def wrong(x: object) -> object:
        raise ZeroDivisionError

    search = Search(StandIn(wrong), GPU, 0.5, as_stored=False)
    with pytest.raises(ZeroDivisionError), search.through(photos) as searched:
        next(searched)
    assert not threads()


def test_only_the_photograph_that_is_waited_for_tells_of_its_tiles(photos: list[Path]) -> None:
    told: list[tuple[int, int]] = []
    search = Search(StandIn(brightness), GPU, 0.5, as_stored=False)
    with search.through(photos) as searched:
        next(searched)
        search.listener = photos[3], lambda done, total: told.append((done, total))
        for _ in searched:
            pass
    assert told == [(1, 1)]
