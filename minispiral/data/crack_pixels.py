"""Crack pixels of a dataset, to draw one from."""

import numpy as np

from minispiral.data.store import PhotoStore


class CrackPixels:
    """Draws photographs that have crack uniformly, and of each a crack pixel uniformly.

    It counts crack pixels by rows once; that takes eight bytes for each row of a photograph.
    """

    def __init__(self, store: PhotoStore) -> None:
        self.store = store
        counts = (np.count_nonzero(store.mask(i), axis=1) for i in range(len(store)))
        below = {i: np.cumsum(count) for i, count in enumerate(counts)}
        self._below = {i: sums for i, sums in below.items() if sums[-1]}
        self._photos = list(self._below)

    def draw(self, rng: np.random.Generator) -> tuple[int, int, int]:
        """The index of a photograph, and row and column of a crack pixel in it."""
        i = self._photos[int(rng.integers(len(self._photos)))]
        below = self._below[i]
        k = int(rng.integers(below[-1]))
        row = int(np.searchsorted(below, k, side="right"))
        before = int(below[row - 1]) if row else 0
        return i, row, int(np.flatnonzero(self.store.mask(i)[row])[k - before])
