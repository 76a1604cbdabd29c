"""Datasets: pairs of photograph and mask, decoded once, drawn from as random patches."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.data.store import PhotoStore
from minispiral.errors import UserError
from minispiral.kernels.dispatch import layout


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
