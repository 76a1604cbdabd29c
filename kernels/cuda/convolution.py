"""What all kernels of a convolution take: its sizes, and arrays aligned to 16 bytes."""

from typing import Any

import numpy as np

from ..normalized import Image, Normalized, array_of
from ..shapes import Convolution
from .launch import Array, empty, gpu

CHUNK = 4  # numbers that are copied at once where channels come in multiples of it

_STRUCT = np.dtype([(name, np.int32) for name in Convolution._fields])  # see convolution.cuh


def struct(conv: Convolution) -> Any:
    """The sizes as the kernels' parameter of type ``Convolution``."""
    return np.array(tuple(conv), _STRUCT)


def check_aligned(*arrays: Array) -> None:
    """ValueError for an array that kernels cannot read 16 bytes at once, where they would.

    They do so where the channels of all arrays come in multiples of four.
    """
    if any(array.shape[-1] % CHUNK != 0 for array in arrays):
        return
    for array in arrays:
        if gpu().address(array) % 16 != 0:
            raise ValueError(
                f"the array of shape {array.shape} is not aligned to 16 bytes, as may happen to a "
                "part of a larger array: copy it, or begin parts at multiples of four numbers"
            )


def to_read(image: Image, can_normalize: bool = True) -> tuple[Array, tuple[Array, Array] | None]:
    """The array that a kernel reads, and the scale and shift by which it normalises it."""
    if isinstance(image, Normalized) and can_normalize:
        return image.x, (image.scale, image.shift)
    return array_of(image), None


def no_vectors() -> tuple[Array, Array]:
    """In place of scale and shift, where nothing is normalised: of float32, as such kernels are."""
    none = empty((0,), np.float32)
    return none, none
