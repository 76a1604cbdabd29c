"""Random patches of photographs, to train on (Section 4.2)."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minispiral.data.crack_pixels import CrackPixels
from minispiral.data.store import PhotoStore
from minispiral.errors import UserError

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Flips = NDArray[np.bool_]

COUNTED = 500  # patches, for their share of crack


class Place(NamedTuple):
    """A square window of photograph ``photo``, how to flip it, and the seed of its changes."""

    photo: int
    top: int
    left: int
    side: int
    flips: Flips
    seed: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.top, self.top + self.side), slice(self.left, self.left + self.side)


class PatchSampler:
    """Draws batches of square patches, uniformly over photographs, positions and flips.

    ``patch`` is the side p in pixels, ``batch`` the number of patches per draw. Of these ``own``
    are cut, all n of them by default: several processes that share a batch draw the same numbers.

    A ``crack_share`` of the patches is drawn otherwise: around a crack pixel (`CrackPixels`),
    uniformly over the windows that hold it. ``augment`` changes every patch by a generator of its
    own (`minispiral.data.augment`).

    Raises `UserError` for a photograph smaller than the patch and for masks without a single
    crack pixel.
    """

    def __init__(
        self,
        store: PhotoStore,
        patch: int,
        batch: int,
        own: range | None = None,
        crack_share: float = 0.0,
        augment: bool = False,
    ) -> None:
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
        self.crack_share = crack_share
        self.augment = augment
        self._crack = CrackPixels(store) if crack_share else None

    def draw(self, rng: np.random.Generator) -> tuple[Pixels, Mask, Flips]:
        """Pixels (n, p, p, 3), 0 to 255, their mask (n, p, p, 1) and flips (n, 2) still to be done.

        ``flips[k]`` says whether the rows and whether the columns of patch k are to be reversed,
        both at even odds. The training step does that, on the device it runs on.
        """
        places = [self._place(rng) for _ in range(self.batch)][self.own.start : self.own.stop]
        p, n = self.patch, len(self.own)
        pixels = np.empty((n, p, p, 3), np.uint8)
        mask = np.empty((n, p, p, 1), np.bool_)
        flips = np.empty((n, 2), np.bool_)

        def cut(k: int) -> None:
            pixels[k], mask[k, ..., 0] = self._cut(places[k])
            flips[k] = places[k].flips

        if self.augment:
            with ThreadPoolExecutor(min(n, os.cpu_count() or 1) or 1, "augment") as pool:
                list(pool.map(cut, range(n)))
        else:
            for k in range(n):
                cut(k)
        return pixels, mask, flips

    def share_of_crack(self) -> float:
        """The share of crack among the pixels of some patches, which no run is trained on."""
        rng = np.random.default_rng(0)
        places = [self._place(rng) for _ in range(COUNTED)]
        return float(np.mean([self.store.mask(at.photo)[at.window].mean() for at in places]))

    def _place(self, rng: np.random.Generator) -> Place:
        from minispiral.data.augment import window_side

        i = row = column = -1
        if self._crack is not None and rng.random() < self.crack_share:
            i, row, column = self._crack.draw(rng)
        else:
            i = int(rng.integers(len(self.store)))
        h, w = self.store.mask(i).shape
        side = min(window_side(self.patch, rng), h, w) if self.augment else self.patch
        if row < 0:
            top, left = int(rng.integers(h - side + 1)), int(rng.integers(w - side + 1))
        else:
            top, left = _start(row, side, h, rng), _start(column, side, w, rng)
        flips = rng.choice((True, False), size=2)
        return Place(i, top, left, side, flips, int(rng.integers(2**63)) if self.augment else 0)

    def _cut(self, at: Place) -> tuple[Pixels, Mask]:
        photo, mask = self.store.photo(at.photo), self.store.mask(at.photo)
        if not self.augment:
            return photo[at.window], mask[at.window]
        from minispiral.data.augment import augment

        rng = np.random.default_rng(at.seed)
        return augment(photo[at.window], mask[at.window], self.patch, rng)


def _start(pixel: int, side: int, size: int, rng: np.random.Generator) -> int:
    """Where a window of ``side`` starts that holds ``pixel``, uniformly, along ``size`` pixels."""
    return int(rng.integers(max(0, pixel - side + 1), min(pixel, size - side) + 1))
