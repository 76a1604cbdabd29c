"""An image that is never written: batch norm and ReLU of another, computed as it is read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import DTypeLike

Array = Any  # NumPy's or the GPU's


@dataclass(frozen=True, eq=False)
class Normalized:
    """``max(scale * x + shift, 0)`` with vectors ``(c,)``, of ``x (n, h, w, c)``.

    A convolution on the GPU takes it in place of the image that it reads, and computes each number
    on the way from memory to its registers: a pass that writes the image costs as much as many a
    convolution. ``mean (c,)`` is that of ``x``, about which the backward pass takes its sums.
    ``array()`` makes the image, for what cannot read it so.
    """

    x: Array
    scale: Array
    shift: Array
    mean: Array
    array: Callable[[], Array]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        n, h, w, c = self.x.shape
        return n, h, w, c

    @property
    def dtype(self) -> DTypeLike:
        dtype: DTypeLike = self.x.dtype
        return dtype


Image = Array | Normalized


def array_of(image: Image) -> Array:
    """The image as an array, which is made where there is none."""
    return image.array() if isinstance(image, Normalized) else image
