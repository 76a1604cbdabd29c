"""Datasets: pairs of photograph and mask, decoded once, drawn from as random patches."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.errors import UserError
from minispiral.kernels.dispatch import layout
from minispiral.photos import read_mask, read_photo


@dataclass(frozen=True)
class Pair:
    """A photograph and the mask of its cracks; ``name`` is the stem the two files share."""

    name: str
    photo: Path
    mask: Path


@dataclass(frozen=True)
class Batch:
    """Patches to train on, and the random state that continues after them.

    ``pixels`` are (n, p, p, 3), 0 to 255, ``mask`` (n, p, p, 1), True on crack. Where there are
    ``flips``, both are still to be flipped by them; see `PatchSampler.cut`.
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    flips: NDArray[np.bool_] | None
    random_state: dict[str, Any]


def find_pairs(folder: Path | str) -> list[Pair]:
    """The photographs of ``folder/images`` and their masks in ``folder/masks``, sorted by name.

    A photograph and its mask share the stem. Files count whose suffix belongs to a format that
    Pillow reads; hidden files and others, such as ``Thumbs.db``, do not.

    Raises `UserError` for a folder that is missing, no pictures at all, two files of one stem, a
    photograph without mask and a mask without photograph.
    """
    folder = Path(folder)
    photos = _pictures_by_stem(folder, "images")
    masks = _pictures_by_stem(folder, "masks")
    unpaired = [
        f"no {missing} for {_some(sorted(found[stem].name for stem in found.keys() - others))}"
        for missing, found, others in (
            ("mask", photos, masks.keys()),
            ("photograph", masks, photos.keys()),
        )
        if found.keys() - others
    ]
    if unpaired:
        raise UserError(
            f"In {folder} there is {' and '.join(unpaired)}; every photograph in images/ needs "
            "a mask of the same name, but for the suffix, in masks/"
        )
    if not photos:
        raise UserError(
            f"{folder} has no pictures in images/ and masks/; put photographs and masks of the "
            "same names there"
        )
    return [Pair(stem, photos[stem], masks[stem]) for stem in sorted(photos)]


def read_pair(pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The photograph (h, w, 3) and the mask (h, w) of a pair.

    Raises `UserError` for a file that cannot be read and for sizes that differ.
    """
    photo, mask = read_photo(pair.photo), read_mask(pair.mask)
    h, w = mask.shape
    if photo.shape[:2] != (h, w):
        raise UserError(
            f"Photograph {pair.photo} is {photo.shape[1]} x {photo.shape[0]} pixels but its "
            f"mask {pair.mask} is {w} x {h}; the two must have the same size"
        )
    return photo, mask


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


class PatchSampler:
    """Random square patches of random photographs, each flip at even odds (Section 4.2).

    ``patch`` is the side p in pixels, ``batch`` the number n of patches per draw.

    Raises `UserError` for a photograph smaller than the patch and for masks without any crack
    pixel.
    """

    def __init__(self, store: PhotoStore, patch: int, batch: int) -> None:
        for i, pair in enumerate(store.pairs):
            h, w = store.mask(i).shape
            if min(h, w) < patch:
                raise UserError(
                    f"Photograph {pair.photo} is {w} x {h} pixels, smaller than a patch of "
                    f"{patch} x {patch}; choose a smaller patch or leave the photograph out"
                )
        if store.crack_pixels == 0:
            raise UserError(
                f"None of the {len(store)} masks in {store.pairs[0].mask.parent} marks any crack "
                "pixel, so there is nothing to learn; crack pixels must be non-zero"
            )
        self.store = store
        self.patch = patch
        self.batch = batch

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Draw the pixels (n, p, p, 3), 0 to 255, and their mask (n, p, p, 1)."""
        pixels, mask, flips = self.cut(rng)
        return layout.flip(pixels, flips), layout.flip(mask, flips)

    def cut(
        self, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]:
        """What `draw` draws, before it is flipped, and the flips (n, 2).

        A patch's two flips are True where its rows and its columns are to be reversed.
        """
        p = self.patch
        pixels = np.empty((self.batch, p, p, 3), np.uint8)
        mask = np.empty((self.batch, p, p, 1), np.bool_)
        flips = np.empty((self.batch, 2), np.bool_)
        for k in range(self.batch):
            i = int(rng.integers(len(self.store)))
            h, w = self.store.mask(i).shape
            top = int(rng.integers(h - p + 1))
            left = int(rng.integers(w - p + 1))
            flips[k] = rng.choice((True, False), size=2)
            window = slice(top, top + p), slice(left, left + p)
            pixels[k] = self.store.photo(i)[window]
            mask[k, ..., 0] = self.store.mask(i)[window]
        return pixels, mask, flips


def prefetch(
    sampler: PatchSampler, rng: np.random.Generator, batches: int, flipped: bool = True
) -> Generator[Batch, None, None]:
    """Yield ``batches`` batches; a thread draws the next one while the caller uses this one.

    A generator set to the ``random_state`` of a batch (``rng.bit_generator.state``) draws the
    batches that follow it. ``rng`` itself belongs to the thread until the end and runs one
    batch ahead. With ``flipped=False`` the patches come as they were cut, for a GPU to flip. Errors
    of the thread are raised in the caller; closing ends the thread.
    """

    def draw() -> Batch:
        pixels, mask, flips = (*sampler.draw(rng), None) if flipped else sampler.cut(rng)
        return Batch(pixels, mask, flips, dict(rng.bit_generator.state))

    if batches < 1:
        return
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as pool:
        following = pool.submit(draw)
        for remaining in range(batches - 1, -1, -1):
            batch = following.result()
            if remaining:
                following = pool.submit(draw)
            yield batch


def _pictures_by_stem(folder: Path, part: str) -> dict[str, Path]:
    """Map the stem of each picture file in ``folder/part`` to its path."""
    from PIL import Image

    place = folder / part
    if not place.is_dir():
        raise UserError(
            f"There is no folder {place}; a dataset is a folder with photographs in images/ and "
            "masks in masks/"
        )
    suffixes = {
        suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN
    }
    pictures: dict[str, Path] = {}
    for path in sorted(place.iterdir()):
        hidden = path.name.startswith(".")
        if hidden or path.suffix.lower() not in suffixes or not path.is_file():
            continue
        if path.stem in pictures:
            raise UserError(
                f"{pictures[path.stem]} and {path.name} share the stem {path.stem}, so they "
                "cannot both be paired; rename or remove one of them"
            )
        pictures[path.stem] = path
    return pictures


def _some(names: Sequence[str]) -> str:
    """Name up to three and count the rest."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
