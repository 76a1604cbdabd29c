"""Uploads on the double of CuPy, whose streams do their work in any order that events allow."""

import sys

import numpy as np
import pytest

from minispiral.kernels.cuda import streams
from tests.cuda_on_cpu.cupy_double import Machine, in_place_of_cupy
from tests.cuda_on_cpu.cupy_double.streams import Event


@pytest.fixture
def uploads(rng):
    """The machine, the stream that computes, and uploads to it."""
    with in_place_of_cupy(Machine(rng=rng)) as machine:
        cupy = sys.modules["cupy"]
        with cupy.cuda.Stream(non_blocking=True) as computing:
            path = streams.PinnedUploads(cupy, [(3, 2), (5,)], [np.uint8, np.bool_])
            yield machine, computing, path


def test_every_batch_is_computed_with_as_it_was_sent(uploads, rng):
    """Though the host runs ahead and fills its arrays anew as soon as they are free."""
    machine, computing, path = uploads
    queue = machine.queues[computing.ptr]
    seen, sent = [], []
    pixels, mask = np.empty((3, 2), np.uint8), np.empty(5, bool)
    for _ in range(200):
        pixels[...], mask[...] = rng.integers(256, size=(3, 2)), rng.random(5) < 0.5
        sent.append((pixels.tobytes(), mask.tobytes()))
        path.send(pixels, mask)
        queue.add(lambda: seen.append(tuple(t.memory.tobytes() for t in path.targets)))
        for _ in range(rng.integers(12)):
            machine.advance()
    while machine.advance():
        pass
    assert seen == sent


@pytest.mark.parametrize("missing", ["wait_event", "synchronize", "taken"])
def test_without_any_of_its_events_batches_get_mixed_up(uploads, rng, missing, monkeypatch):
    _, computing, path = uploads
    if missing == "wait_event":
        monkeypatch.setattr(computing, "wait_event", lambda event: None)
    elif missing == "taken":
        monkeypatch.setattr(path.stream, "wait_event", lambda event: None)
    else:
        monkeypatch.setattr(Event, "synchronize", lambda self: None)
    with pytest.raises(AssertionError, match="=="):
        test_every_batch_is_computed_with_as_it_was_sent(uploads, rng)
