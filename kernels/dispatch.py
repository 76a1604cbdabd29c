"""Which kernels run: those in NumPy or those in CUDA, by where the arrays lie.

``batchnorm``, ``convolution`` and the others here stand each for two files of kernels. Their
functions call the CUDA kernel where they are given arrays of the device of
`minispiral.kernels.cuda.launch`, and the NumPy one otherwise. Beside them stands what moves arrays
from one place to the other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .arrays import get as to_host
from .arrays import like
from .arrays import on_gpu as on_device
from .cpu import arithmetic as numpy_arithmetic
from .cpu import batchnorm as numpy_batchnorm
from .cpu import conv2d as numpy_conv2d
from .cpu import layout as numpy_layout
from .cpu import losses as numpy_losses
from .cpu import pooling as numpy_pooling
from .cuda import arithmetic as cuda_arithmetic
from .cuda import batchnorm as cuda_batchnorm
from .cuda import conv2d as cuda_conv2d
from .cuda import launch
from .cuda import layout as cuda_layout
from .cuda import losses as cuda_losses
from .cuda import pooling as cuda_pooling

__all__ = [
    "arithmetic",
    "batchnorm",
    "constant",
    "convolution",
    "layout",
    "like",
    "losses",
    "on_device",
    "pooling",
    "tf32",
    "to_host",
    "write",
]

Array = Any  # of the host or of the device

_tf32: ContextVar[bool] = ContextVar("tf32", default=False)


class Twins:
    """A file of NumPy kernels and its twin in CUDA."""

    def __init__(self, host: ModuleType, device: ModuleType) -> None:
        self.host, self.device = host, device

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, name)

    def _call(self, name: str, *arguments: Any, **named: Any) -> Any:
        if not any(map(launch.on_gpu, arguments)):
            return getattr(self.host, name)(*arguments, **named)
        return getattr(self.device, name)(*arguments, **named)


class _Convolutions(Twins):
    def _call(self, name: str, *arguments: Any, **named: Any) -> Any:
        if not _tf32.get() or not launch.on_gpu(arguments[0]):
            return super()._call(name, *arguments, **named)
        if arguments[0].dtype != np.float32:
            raise ValueError(
                f"TF32 is a precision of float32 numbers, but these are {arguments[0].dtype}: "
                "leave TF32 out"
            )
        return super()._call(name, *arguments, tf32=True, **named)


if TYPE_CHECKING:  # the NumPy files say what there is, and the types
    from .cpu import arithmetic, batchnorm, layout, losses, pooling
    from .cpu import conv2d as convolution
else:
    arithmetic = Twins(numpy_arithmetic, cuda_arithmetic)
    batchnorm = Twins(numpy_batchnorm, cuda_batchnorm)
    convolution = _Convolutions(numpy_conv2d, cuda_conv2d)
    layout = Twins(numpy_layout, cuda_layout)
    losses = Twins(numpy_losses, cuda_losses)
    pooling = Twins(numpy_pooling, cuda_pooling)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether convolutions in this context may round to TF32, on a device with tensor cores."""
    token = _tf32.set(allowed)
    try:
        yield
    finally:
        _tf32.reset(token)


def constant(values: NDArray[Any], other: Array) -> Array:
    """`like` for numbers that never change."""
    return like(values, other, constant=True)


def write(array: Array, values: NDArray[Any]) -> None:
    """Replace the numbers of an array, wherever it lies."""
    array[...] = like(values, array)
