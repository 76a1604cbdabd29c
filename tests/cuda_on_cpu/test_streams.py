"""Uploads and graphs against a CuPy of Python: no GPU has run them.

Its streams run what they were given in any order that events allow, as late as they may.
"""

import sys
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from minispiral.kernels.cuda import streams


class Stream:
    def __init__(self, gpu):
        self.gpu, self.waiting = gpu, []
        gpu.streams.append(self)

    def run(self, work):
        self.waiting.append((lambda: True, work))

    def wait_event(self, event):
        marks = event.marks  # of the last record before this call
        self.waiting.append((lambda: marks is None or marks.done, lambda: None))


class Event:
    def __init__(self, gpu):
        self.gpu, self.marks = gpu, None

    def record(self, stream):
        self.marks = marks = SimpleNamespace(done=False)
        stream.run(lambda: setattr(marks, "done", True))

    def synchronize(self):
        while self.marks is not None and not self.marks.done:
            self.gpu.advance()


class Array:
    """In the GPU's memory; what is done to it is done by a stream, in its time."""

    def __init__(self, shape, dtype):
        self.memory = np.zeros(shape, dtype)
        self.nbytes, self.data = self.memory.nbytes, self

    def set(self, values, stream):
        stream.run(lambda: np.copyto(self.memory, values))

    def copy_from_device_async(self, source, size, stream):
        assert size == source.nbytes == self.nbytes
        stream.run(lambda: np.copyto(self.memory, source.memory))


class Gpu:
    """Streams, and a generator that decides which of them goes on."""

    def __init__(self, rng):
        self.rng, self.streams = rng, []
        self.computing = Stream(self)
        self.cupy = SimpleNamespace(
            empty=Array,
            cuda=SimpleNamespace(
                Stream=lambda non_blocking: Stream(self),
                Event=lambda disable_timing: Event(self),
                get_current_stream=lambda: self.computing,
            ),
        )

    def advance(self):
        """One piece of work of a stream that may go on; False where none is left."""
        ready = [s for s in self.streams if s.waiting and s.waiting[0][0]()]
        if not ready:
            assert not any(s.waiting for s in self.streams), "streams wait for each other"
            return False
        ready[self.rng.integers(len(ready))].waiting.pop(0)[1]()
        return True


@pytest.fixture
def uploads(rng, monkeypatch):
    gpu = Gpu(rng)
    monkeypatch.setitem(sys.modules, "cupyx", SimpleNamespace(empty_pinned=np.empty))
    return gpu, streams.PinnedUploads(gpu.cupy, [(3, 2), (5,)], [np.uint8, np.bool_])


def test_every_batch_is_computed_with_as_it_was_sent(uploads, rng):
    """Though the host runs ahead and fills its arrays anew as soon as they are free."""
    gpu, path = uploads
    seen, sent = [], []
    pixels, mask = np.empty((3, 2), np.uint8), np.empty(5, bool)
    for _ in range(200):
        pixels[...], mask[...] = rng.integers(256, size=(3, 2)), rng.random(5) < 0.5
        sent.append((pixels.tobytes(), mask.tobytes()))
        path.send(pixels, mask)
        gpu.computing.run(lambda: seen.append(tuple(t.memory.tobytes() for t in path.targets)))
        for _ in range(rng.integers(12)):
            gpu.advance()
    while gpu.advance():
        pass
    assert seen == sent


@pytest.mark.parametrize("missing", ["wait_event", "synchronize", "taken"])
def test_without_any_of_its_events_batches_get_mixed_up(uploads, rng, missing, monkeypatch):
    gpu, path = uploads
    if missing == "wait_event":
        monkeypatch.setattr(gpu.computing, "wait_event", lambda event: None)
    elif missing == "taken":
        monkeypatch.setattr(path.stream, "wait_event", lambda event: None)
    else:
        monkeypatch.setattr(Event, "synchronize", lambda self: None)
    with pytest.raises(AssertionError, match="=="):
        test_every_batch_is_computed_with_as_it_was_sent((gpu, path), rng)


@pytest.mark.parametrize("fails", [False, True])
def test_a_graph_is_captured_from_a_pool_of_its_own(fails):
    calls = []

    def note(name):
        return lambda *arguments: calls.append((name, *arguments))

    @contextmanager
    def using_allocator(malloc):
        calls.append(malloc)
        yield
        calls.append("the usual allocator")

    class CapturingStream:
        begin_capture = staticmethod(note("begin"))

        def __enter__(self):
            calls.append("on the stream")

        def __exit__(self, *error):
            calls.append("off the stream")

        def end_capture(self):
            calls.append("end")
            return SimpleNamespace(launch=note("launch"))

    cupy = SimpleNamespace(
        get_default_memory_pool=lambda: SimpleNamespace(free_all_blocks=note("free")),
        cuda=SimpleNamespace(
            MemoryPool=lambda: SimpleNamespace(malloc="its own"), using_allocator=using_allocator
        ),
    )

    def work():
        calls.append("work")
        if fails:
            raise ValueError("no")

    stream = CapturingStream()
    around = ["on the stream", "its own", ("begin",), "work", "end"]
    if fails:
        with pytest.raises(ValueError, match="no"):
            streams.Recording(cupy, stream, work)
        assert calls[1:6] == around
        assert calls[-1] == "off the stream"
        return
    recording = streams.Recording(cupy, stream, work)
    assert calls == [("free",), *around, "the usual allocator", "off the stream"]
    recording.launch()
    assert calls[-1] == ("launch", stream)
