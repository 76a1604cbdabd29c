"""Where arrays lie: on the CPU, as NumPy's, or on the GPU of `minispiral.kernels.cuda.launch`."""

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from .cuda.launch import Gpu, gpu, on_gpu

__all__ = ["Array", "get", "like", "on_gpu"]

Array = Any  # NumPy's or the GPU's

_SMALL = 1 << 16  # bytes of a constant that is kept on the GPU

_constants: WeakKeyDictionary[Gpu, dict[Any, Array]] = WeakKeyDictionary()


def get(array: Array) -> NDArray[Any]:
    """An array of the CPU: the array itself, or a copy once the GPU has computed it."""
    values: NDArray[Any] = gpu().get(array) if on_gpu(array) else array
    return values


def like(values: Array, other: Array, constant: bool = False) -> Array:
    """``values`` where ``other`` lies: the array itself, or a copy on the GPU.

    Of a small ``constant``, which nobody may change, the GPU keeps one copy for all who ask.
    """
    if on_gpu(values) or not on_gpu(other):
        return values
    values = np.asarray(values)
    if not constant or values.nbytes > _SMALL:
        return gpu().put(values)
    kept = _constants.setdefault(gpu(), {})
    key = values.tobytes(), values.shape, values.dtype
    if key not in kept:
        kept[key] = gpu().put(values)
    return kept[key]
