"""The photographs and masks of a dataset, decoded once into memory-mapped files."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minispiral.data.look import Look, look_at
from minispiral.data.pairs import Pair, examine_pair
from minispiral.data.problems import Problem
from minispiral.data.scratch import shared_files
from minispiral.distributed import World
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

    Those processes of ``world`` that run on one machine take turns with the photographs: each
    decodes its own into a file, and maps the files of all. Machines other than the first, which
    have no ``scratch``, use their folder for temporary files. ``progress`` is called in the first
    process, for its machine.

    Raises `UserError` for a file that cannot be read, a photograph whose mask has another size, one
    that is not the same on all machines, too little room in ``scratch`` and too little memory.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        scratch: Path | str,
        progress: Callable[[int, int], None] | None = None,
        world: World | None = None,
    ) -> None:
        self.pairs = list(pairs)
        self._decoded: list[_Decoded] = []
        self._files: list[NDArray[np.uint8]] = []
        world = world or World()
        world.together(lambda: self._decode(world, Path(scratch), progress))
        self.looks = [decoded.look for decoded in self._decoded]
        self.problems = [problem for decoded in self._decoded for problem in decoded.problems]
        self.digests = [decoded.digest for decoded in self._decoded]
        self.pixels = sum(look.pixels for look in self.looks)
        self.crack_pixels = sum(look.crack_pixels for look in self.looks)
        first = world.from_first(lambda: self.digests)
        world.together(lambda: self._check_same(first))

    def __len__(self) -> int:
        return len(self.pairs)

    def photo(self, i: int) -> NDArray[np.uint8]:
        """Photograph ``i``, (h, w, 3): a read-only view of the file."""
        file, offset, h, w = self._decoded[i].place
        return self._files[file][offset : offset + h * w * 3].reshape(h, w, 3)

    def mask(self, i: int) -> NDArray[np.bool_]:
        """Mask ``i``, (h, w): a read-only view of the file."""
        file, offset, h, w = self._decoded[i].place
        start = offset + h * w * 3
        return self._files[file][start : start + h * w].view(np.bool_).reshape(h, w)

    def close(self) -> None:
        """Release the file; the disk space is freed once no view of it is left."""
        self._files.clear()

    def _decode(
        self, world: World, scratch: Path, progress: Callable[[int, int], None] | None
    ) -> None:
        """Decode this process's turn of the photographs and map those of the whole machine."""
        machine, total = world.machine, len(self)
        known = world.is_first or scratch.is_dir()
        scratch = machine.from_first(lambda: scratch if known else Path(tempfile.gettempdir()))
        count = itertools.count(1)

        def arrived(i: int, decoded: _Decoded) -> None:
            if progress and world.is_first:
                progress(next(count), total)

        # Threads help, since Pillow releases the interpreter lock while it decodes.
        threads = 2 if machine.size == 1 else 1
        try:
            with ExitStack() as stack:
                files = stack.enter_context(shared_files(machine, scratch))
                pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
                stack.callback(pool.shutdown, cancel_futures=True)
                write = _Writer(self.pairs, machine.rank, files[machine.rank])
                written = machine.together(
                    lambda: {i: pool.submit(write, i) for i in machine.turns(total)}
                )
                self._decoded = machine.collect(total, lambda i: written[i].result(), arrived)
                self._files += map(_mapped, files)
        except OSError as error:
            if error.errno == errno.ENOMEM:
                pixels = sum(decoded.look.pixels for decoded in self._decoded)
                raise UserError(
                    f"The memory that this process may address does not hold {pixels} pixels of "
                    "photographs, 4 bytes each; raise its limit (`ulimit -v`) or use fewer or "
                    "smaller photographs"
                ) from error
            raise UserError(
                f"Cannot store {total} decoded photographs in {scratch} ({error.strerror}), which "
                "takes 4 bytes per pixel; make room there"
            ) from error

    def _check_same(self, first: Sequence[str]) -> None:
        """Refuse a dataset whose ``digests`` in the first process, perhaps elsewhere, differ."""
        if len(first) != len(self):
            raise UserError(
                f"{self.pairs[0].photo.parent} holds {len(self)} photographs on one machine and "
                f"{len(first)} on another; give all the same dataset"
            )
        for pair, one, other in zip(self.pairs, first, self.digests, strict=True):
            if one != other:
                raise UserError(
                    f"Photograph {pair.photo} or its mask is not the same on all machines; give "
                    "all the same dataset"
                )


class _Decoded(NamedTuple):
    """A pair in the store: where it lies, and what was learnt of it."""

    place: tuple[int, int, int, int]  # file, offset, h, w
    digest: str
    look: Look
    problems: list[Problem]


class _Writer:
    """Decodes pairs and appends them to the file of this process, number ``number``."""

    def __init__(self, pairs: Sequence[Pair], number: int, file: IO[bytes]) -> None:
        self.pairs, self.number, self.file = pairs, number, file
        self._lock = threading.Lock()

    def __call__(self, i: int) -> _Decoded:
        with memory_for(self.pairs[i].photo):
            photo, mask, problems = examine_pair(self.pairs[i])
            digest = _digest(photo, mask)
            look = look_at(photo, mask)
        with self._lock:
            # Ordinary writes raise when the disk is full; writing to mapped memory would kill
            # the process.
            offset = self.file.tell()
            self.file.write(photo.data)
            self.file.write(mask.data)
            self.file.flush()
        return _Decoded((self.number, offset, *mask.shape), digest, look, problems)


def _mapped(file: IO[bytes]) -> NDArray[np.uint8]:
    """All bytes of a file; that of a process that had no photograph is empty."""
    if os.fstat(file.fileno()).st_size == 0:
        return np.empty(0, np.uint8)
    return np.asarray(np.memmap(file, np.uint8, mode="r"))


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
