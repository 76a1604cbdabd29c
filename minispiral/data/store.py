"""Photographs and masks of a dataset, decoded once."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minispiral.data.pairs import Pair, read_pair
from minispiral.errors import UserError


class PhotoStore:
    """Photographs and masks, decoded once into one temporary file and mapped into memory.

    A photograph takes 4 bytes per pixel in the file and none of the process's own memory: the
    system reads the rows that a patch touches and forgets them when memory is short. The file
    has no name where the system allows that, so it vanishes with the process however it ends.

    ``pairs``, at least one, are decoded into the existing folder ``scratch``; ``progress`` is
    called with the photographs done and all of them. ``pixels`` and ``crack_pixels`` are counted
    over all masks.

    Raises `UserError` for a file that cannot be read, for a photograph and a mask of different
    size and for too little room in ``scratch``.
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
        self._places: dict[int, tuple[int, int, int]] = {}  # index: offset, h, w
        self._lock = threading.Lock()
        try:
            self._file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115
        except OSError as error:
            raise UserError(
                f"Cannot store decoded photographs in {scratch}: {error.strerror}"
            ) from error
        try:
            # Pillow decodes outside Python's global lock.
            with ThreadPoolExecutor(max_workers=2, thread_name_prefix="decode") as pool:
                for done, _ in enumerate(pool.map(self._add, range(len(self))), start=1):
                    if progress:
                        progress(done, len(self))
            self._bytes = np.asarray(np.memmap(self._file, np.uint8, mode="r"))
        except OSError as error:
            self.close()
            raise UserError(
                f"Cannot store {len(self)} decoded photographs in {scratch} "
                f"({error.strerror}), which takes 4 bytes per pixel; make room there"
            ) from error
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self.pairs)

    def photo(self, i: int) -> NDArray[np.uint8]:
        """Photograph ``i``: (h, w, 3), read-only, a view into the file."""
        offset, h, w = self._places[i]
        return self._bytes[offset : offset + h * w * 3].reshape(h, w, 3)

    def mask(self, i: int) -> NDArray[np.bool_]:
        """Mask ``i``: (h, w), read-only, a view into the file."""
        offset, h, w = self._places[i]
        start = offset + h * w * 3
        return self._bytes[start : start + h * w].view(np.bool_).reshape(h, w)

    def close(self) -> None:
        """Give the file back to the system, once no view of it is left."""
        self._places.clear()
        self._bytes = np.empty(0, np.uint8)
        with contextlib.suppress(OSError):  # what a full disk refused is not needed any more
            self._file.close()

    def _add(self, i: int) -> None:
        photo, mask = read_pair(self.pairs[i])
        h, w = mask.shape
        with self._lock:
            # Ordinary writes: a full disk raises here, where a store into mapped memory would
            # kill the process.
            offset = self._file.tell()
            self._file.write(photo.data)
            self._file.write(mask.data)
            self._file.flush()
            self._places[i] = offset, h, w
            self.pixels += h * w
            self.crack_pixels += int(np.count_nonzero(mask))
