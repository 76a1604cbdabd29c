"""Photographs on their way from their files to what is found in them, one behind the other."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minispiral.data.ahead import Ahead
from minispiral.data.photos import read_photo
from minispiral.detection.find import Finding, find_cracks
from minispiral.detection.tiling import Predict, predict
from minispiral.device import Device
from minispiral.errors import UserError
from minispiral.memory import NotEnoughMemory, memory_for
from minispiral.networks import Network


@dataclass
class Work:
    """A photograph in work: what its stages have made of it, or why they cannot go on."""

    photo: Path
    pixels: NDArray[np.uint8] | None = None
    finding: Finding | None = None
    error: str | None = None
    seconds: float = 0.0

    @contextmanager
    def stage(self, expected: type[UserError]) -> Iterator[None]:
        """A stage: its time counts, and an ``expected`` error is the last word."""
        start = time.perf_counter()
        try:
            with memory_for(self.photo):
                yield
        except expected as error:
            self.error = str(error)
            self.release()
        self.seconds += time.perf_counter() - start

    def release(self) -> None:
        """Give up the arrays, though earlier stages may still refer to this."""
        self.pixels = self.finding = None


class _Stopped(Exception):
    """Nobody waits for the photograph in work any more."""


class Search:
    """Photographs are read, searched, and left to the caller, in their order.

    With a GPU the stages overlap: a thread reads a photograph, another has the GPU search the one
    before, while the caller writes what was found in the one before that. The CPU would have to
    share its cores and its memory among them, so there each waits for the next.

    ``predict`` is that of `find_cracks`. ``listener`` is a photograph and the function that is told
    of its tiles.
    """

    def __init__(
        self,
        network: Network,
        device: Device,
        threshold: float,
        as_stored: bool,
        predict: Predict = predict,
    ) -> None:
        self.network, self.device, self.predict = network, device, predict
        self.threshold, self.as_stored = threshold, as_stored
        self.listener: tuple[Path | None, Callable[[int, int], None] | None] = None, None
        self._stopped = False

    @contextmanager
    def through(self, photos: Iterable[Path]) -> Iterator[Iterator[Work]]:
        """The photographs as they come out of the search; at the end, those in work are left."""
        if not self.device.is_gpu:
            yield self._searched(self._read(photos))
            return
        with (
            Ahead(self._read(photos), "reading") as read,
            Ahead(self._searched(read), "searching", self._stop) as searched,
        ):
            yield searched

    def _read(self, photos: Iterable[Path]) -> Generator[Work, None, None]:
        for photo in photos:
            work = Work(photo)
            with work.stage(UserError):  # a file that is no picture, too
                work.pixels = read_photo(photo, self.as_stored)
            yield work

    def _searched(self, read: Iterable[Work]) -> Generator[Work, None, None]:
        for work in read:
            if work.pixels is not None:
                tell = partial(self._tell, work.photo)
                with work.stage(NotEnoughMemory), self.device.in_use():
                    work.finding = find_cracks(
                        self.network, work.pixels, self.threshold, tell, self.predict
                    )
            yield work

    def _tell(self, photo: Path, done: int, total: int) -> None:
        if self._stopped:
            raise _Stopped
        listened, tell = self.listener
        if tell and photo == listened:
            tell(done, total)

    def _stop(self) -> None:
        self._stopped = True
