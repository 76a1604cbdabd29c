"""The photographs and masks of a dataset, decoded once into a memory-mapped file."""

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
    """Random access to decoded photographs and masks that need not fit in memory.

    Photograph and mask take 4 bytes per pixel in a temporary file and none of the process's own
    memory: the operating system pages in the rows that a patch touches and drops them when memory
    is short. Where the system allows it the file has no name, so it vanishes with the process
    however that ends.

    ``pairs``, at least one, are decoded into a file in the existing folder ``scratch``;
    ``progress(done, total)`` is called after each. ``pixels`` and ``crack_pixels`` are totals over
    all masks.

    Raises `UserError` for a file that cannot be read, a photograph whose mask has another size
    and too little room in ``scratch``.
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
        self._places: dict[int, tuple[int, int, int]] = {}  # offset, h, w by index
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

    def close(self) -> None:
        """Release the file; the disk space is freed once no view of it is left."""
        self._places.clear()
        self._bytes = np.empty(0, np.uint8)
        with contextlib.suppress(OSError):  # a full disk refuses to flush what nobody needs
            self._file.close()

    def _add(self, i: int) -> None:
        photo, mask = read_pair(self.pairs[i])
        h, w = mask.shape
        with self._lock:
            # Ordinary writes raise when the disk is full; writing to mapped memory would kill
            # the process.
            offset = self._file.tell()
            self._file.write(photo.data)
            self._file.write(mask.data)
            self._file.flush()
            self._places[i] = offset, h, w
            self.pixels += h * w
            self.crack_pixels += int(np.count_nonzero(mask))
