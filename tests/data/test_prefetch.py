"""Batches are drawn ahead without changing a bit."""

import threading

import numpy as np
import pytest

from minispiral.data.patches import PatchSampler
from minispiral.data.prefetch import prefetch


def arrays(batch):
    return batch.pixels, batch.mask, batch.flips


def test_prefetch_yields_what_draw_yields(store):
    sampler = PatchSampler(store, 17, 3)
    rng = np.random.default_rng(5)
    batches = list(prefetch(sampler, np.random.default_rng(5), 7))
    assert len(batches) == 7
    for batch in batches:
        for found, expected in zip(arrays(batch), sampler.draw(rng), strict=True):
            np.testing.assert_array_equal(found, expected)
        assert batch.random_state == rng.bit_generator.state


def test_prefetch_resumes_from_any_batch(store, rng):
    sampler = PatchSampler(store, 17, 3)
    batches = list(prefetch(sampler, np.random.default_rng(int(rng.integers(2**32))), 6))
    for step, batch in enumerate(batches):
        resumed = np.random.default_rng()
        resumed.bit_generator.state = batch.random_state
        following = list(prefetch(sampler, resumed, 5 - step))
        assert len(following) == 5 - step
        for again, expected in zip(following, batches[step + 1 :], strict=True):
            for array, same in zip(arrays(again), arrays(expected), strict=True):
                np.testing.assert_array_equal(array, same)
            assert again.random_state == expected.random_state


class StubSampler:
    """Draws random numbers, signals each draw and fails when told to."""

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
        return pixels, pixels[..., :1] < 128, np.zeros((1, 2), bool)


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
