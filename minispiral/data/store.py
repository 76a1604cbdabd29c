"""The photographs and masks of a dataset, decoded once into a memory-mapped file."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minispiral.data.look import Look, look_at
from minispiral.data.pairs import Pair, examine_pair
from minispiral.data.problems import Problem
from minispiral.errors import UserError
from minispiral.memory import memory_for

ROWS_HASHED = 32  # of a photograph; up to twice as many


class PhotoStore:
    """Random access to decoded photographs and masks that need not fit in memory.

    Photograph and mask take 4 bytes per pixel in a temporary file and none of the process's own
    memory: the operating system pages in the rows that a patch touches and drops them when memory
    is short. Where the system allows it the file has no name, so it vanishes with the process
    however that ends.

    ``pairs``, at least one, are decoded into a file in the existing folder ``scratch``;
    ``progress(done, total)`` is called after each. ``pixels`` and ``crack_pixels`` are totals over
    all masks. ``digests`` tells the decoded pairs apart, in their order (see `_digest`).

    Raises `UserError` for a file that cannot be read, a photograph whose mask has another size,
    too little room in ``scratch`` and too little memory.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        scratch: Path | str,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.pairs = list(pairs)
        self.pixels = 0
        self.crack_pixels = 0
        self.digests = [""] * len(self.pairs)
        self._places: dict[int, tuple[int, int, int]] = {}  # offset, h, w by index
        self._looks: dict[int, Look] = {}
        self._problems: dict[int, list[Problem]] = {}
        self._lock = threading.Lock()
        try:
            self._file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115
        except OSError as error:
            raise UserError(
                f"Cannot store decoded photographs in {scratch}: {error.strerror}"
            ) from error
        try:
            # Threads help, since Pillow releases the interpreter lock while it decodes.
            with ThreadPoolExecutor(max_workers=2, thread_name_prefix="decode") as pool:
                for done, _ in enumerate(pool.map(self._add, range(len(self))), start=1):
                    if progress:
                        progress(done, len(self))
            self._bytes = np.asarray(np.memmap(self._file, np.uint8, mode="r"))
        except OSError as error:
            self.close()
            if error.errno == errno.ENOMEM:
                raise UserError(
                    f"The memory that this process may address does not hold {self.pixels} pixels "
                    "of photographs, 4 bytes each; raise its limit (`ulimit -v`) or use fewer or "
                    "smaller photographs"
                ) from error
            raise UserError(
                f"Cannot store {len(self)} decoded photographs in {scratch} ({error.strerror}), "
                "which takes 4 bytes per pixel; make room there"
            ) from error
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self.pairs)

    def photo(self, i: int) -> NDArray[np.uint8]:
        """Photograph ``i``, (h, w, 3): a read-only view of the file."""
        offset, h, w = self._places[i]
        return self._bytes[offset : offset + h * w * 3].reshape(h, w, 3)

    def mask(self, i: int) -> NDArray[np.bool_]:
        """Mask ``i``, (h, w): a read-only view of the file."""
        offset, h, w = self._places[i]
        start = offset + h * w * 3
        return self._bytes[start : start + h * w].view(np.bool_).reshape(h, w)

    @property
    def looks(self) -> list[Look]:
        """What was measured of each pair when it was decoded."""
        return [self._looks[i] for i in range(len(self))]

    @property
    def problems(self) -> list[Problem]:
        """What was doubtful about the files when they were decoded."""
        return [problem for i in range(len(self)) for problem in self._problems[i]]

    def close(self) -> None:
        """Release the file; the disk space is freed once no view of it is left."""
        self._places.clear()
        self._bytes = np.empty(0, np.uint8)
        with contextlib.suppress(OSError):  # a full disk refuses to flush what nobody needs
            self._file.close()

    def _add(self, i: int) -> None:
        with memory_for(self.pairs[i].photo):
            photo, mask, self._problems[i] = examine_pair(self.pairs[i])
            self.digests[i] = _digest(photo, mask)
            look = self._looks[i] = look_at(photo, mask)
        with self._lock:
            # Ordinary writes raise when the disk is full; writing to mapped memory would kill
            # the process.
            offset = self._file.tell()
            self._file.write(photo.data)
            self._file.write(mask.data)
            self._file.flush()
            self._places[i] = offset, *mask.shape
            self.pixels += look.pixels
            self.crack_pixels += look.crack_pixels


def _digest(photo: NDArray[np.uint8], mask: NDArray[np.bool_]) -> str:
    """Tells a photograph (h, w, 3) with its mask (h, w) from any other: 16 hexadecimal digits.

    All of the mask counts, of the photograph evenly spaced rows: they are read in a hundredth of
    the time that it takes to decode the files.
    """
    digest = hashlib.sha256(repr(photo.shape).encode())
    digest.update(np.packbits(mask).data)
    rows = photo[:: max(1, len(photo) // ROWS_HASHED)]
    digest.update(np.ascontiguousarray(rows).data)
    return digest.hexdigest()[:16]
