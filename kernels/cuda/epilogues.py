"""The epilogues of a convolution on the GPU: they are applied to the output in registers."""

from typing import Any

import numpy as np

from ..epilogues import Epilogue, GradSums, Moments, ScaleShiftReLU
from . import batchnorm
from .launch import Array, empty


class EpilogueArguments:
    """What kernels take for the epilogue of the output ``out (..., c)``; see ``epilogue.cuh``."""

    def __init__(self, epilogue: Epilogue | None, out: Array) -> None:
        self.epilogue, self.out = epilogue, out
        self._parts: Array | None = None  # of the moments, one for each block

    @property
    def scale_shift(self) -> tuple[Any, ...]:
        """For a kernel that can scale, shift and cut off at zero, but takes no moments."""
        if isinstance(self.epilogue, ScaleShiftReLU):
            return np.True_, self.epilogue.scale, self.epilogue.shift
        unused = empty((0,), self.out.dtype)
        return np.False_, unused, unused

    def with_moments(self, blocks: int) -> tuple[Any, ...]:
        """For a kernel that takes moments too, and shares the pixels among so many blocks."""
        wanted = isinstance(self.epilogue, Moments)
        self._parts = empty((blocks if wanted else 0, self.out.shape[-1], 3), np.float64)
        return *self.scale_shift, np.bool_(wanted), self._parts

    def with_sums(self, blocks: int) -> tuple[Any, ...]:
        """For a kernel that takes moments and the sums of a gradient; blocks as above."""
        arguments = self.with_moments(blocks)
        if not isinstance(self.epilogue, GradSums):
            none = empty((0,), self.out.dtype)
            return *arguments, np.False_, none, none, empty((0, self.out.shape[-1], 2), np.float64)
        image = self.epilogue.image
        self.epilogue.parts = empty((blocks, self.out.shape[-1], 2), np.float64)
        scaled, _, _, *moments = arguments
        vectors = scaled, image.scale, image.shift
        return *vectors, *moments, np.True_, image.x, image.mean, self.epilogue.parts

    def conclude(self) -> None:
        """After the launch: set the moments, by a pass of their own where no kernel took them."""
        if not isinstance(self.epilogue, Moments):
            return
        norm = self.epilogue.norm
        if self._parts is None:
            self.epilogue.mean, self.epilogue.var = batchnorm.moments(self.out, norm)
        else:
            merged = batchnorm.merged_moments(self._parts, self.out.dtype, norm)
            self.epilogue.mean, self.epilogue.var = merged
