"""What all kernels of a convolution take: its sizes, and arrays aligned to 16 bytes."""

from typing import Any

import numpy as np

from ..shapes import Convolution
from .launch import Array, gpu

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
