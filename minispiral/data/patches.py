"""Random patches of photographs, to train on (Section 4.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minispiral.data.store import PhotoStore
from minispiral.errors import UserError

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Flips = NDArray[np.bool_]


class PatchSampler:
    """Draws batches of square patches, uniformly over photographs, positions and flips.

    ``patch`` is the side p in pixels, ``batch`` the number of patches per draw. Of these ``own``
    are cut, all n of them by default: several processes that share a batch draw the same numbers.

    Raises `UserError` for a photograph smaller than the patch and for masks without a single
    crack pixel.
    """

    def __init__(self, store: PhotoStore, patch: int, batch: int, own: range | None = None) -> None:
        for i, pair in enumerate(store.pairs):
            h, w = store.mask(i).shape
            if min(h, w) < patch:
                raise UserError(
                    f"Photograph {pair.photo} is {w} x {h} pixels, smaller than a patch of "
                    f"{patch} x {patch}; leave the photograph out",
                    "patch",
                )
        if store.crack_pixels == 0:
            raise UserError(
                f"None of the {len(store)} masks in {store.pairs[0].mask.parent} marks any crack "
                "pixel, so there is nothing to learn; crack pixels must be non-zero"
            )
        self.store = store
        self.patch = patch
        self.batch = batch
        self.own = range(batch) if own is None else own

    def draw(self, rng: np.random.Generator) -> tuple[Pixels, Mask, Flips]:
        """Pixels (n, p, p, 3), 0 to 255, their mask (n, p, p, 1) and flips (n, 2) still to be done.

        ``flips[k]`` says whether the rows and whether the columns of patch k are to be reversed,
        both at even odds. The training step does that, on the device it runs on.
        """
        p, n = self.patch, len(self.own)
        pixels = np.empty((n, p, p, 3), np.uint8)
        mask = np.empty((n, p, p, 1), np.bool_)
        flips = np.empty((n, 2), np.bool_)
        for drawn in range(self.batch):
            i = int(rng.integers(len(self.store)))
            h, w = self.store.mask(i).shape
            top = int(rng.integers(h - p + 1))
            left = int(rng.integers(w - p + 1))
            turned = rng.choice((True, False), size=2)
            if drawn not in self.own:
                continue
            k = drawn - self.own.start
            window = slice(top, top + p), slice(left, left + p)
            pixels[k] = self.store.photo(i)[window]
            mask[k, ..., 0] = self.store.mask(i)[window]
            flips[k] = turned
        return pixels, mask, flips
