"""Gradient clipping by the global norm (Pascanu, Mikolov and Bengio 2013, Algorithm 1).

The gradients of all parameters, taken as one vector, become no longer than ``most``::

    norm = sqrt(sum of g**2 over all elements of all gradients)
    clipped = g * most / max(norm, most)

The squares are summed in float64, in an order that depends on the shapes alone. A norm that is NaN
clips nothing.
"""

from collections.abc import Sequence
from typing import Any

from .arrays import on_gpu
from .cpu import clip as cpu
from .cuda import clip as cuda

Array = Any  # NumPy's or the GPU's


class Clip:
    """A clipping of arrays that lie where ``place`` lies, launched again and again."""

    def __init__(self, place: Array, most: float) -> None:
        self.most = most
        self._twin = cuda if on_gpu(place) else cpu
        self._table: Any = None

    def locate(self, gs: Sequence[Array], clipped: Sequence[Array]) -> None:
        """Say where the gradients lie now, and where their clipped copies go.

        ValueError where the shapes of a pair or any dtypes differ, and where a copy is not
        contiguous.
        """
        for g, copy in zip(gs, clipped, strict=True):
            if g.shape != copy.shape or not gs[0].dtype == g.dtype == copy.dtype:
                raise ValueError(
                    f"gradient {g.dtype} {g.shape} and copy {copy.dtype} {copy.shape} differ"
                )
            if not copy.flags.c_contiguous:
                raise ValueError("the copies must be contiguous: they are written in place")
        self._table = self._twin.table(gs, clipped, self._table)

    def launch(self) -> None:
        """Clip what was located last; the CPU lets go of it afterwards."""
        self._twin.clip(self._table, self.most)
