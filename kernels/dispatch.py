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
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

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

_SMALL = 1 << 16  # bytes of a constant that is kept on the device

_tf32: ContextVar[bool] = ContextVar("tf32", default=False)
_constants: WeakKeyDictionary[Any, dict[Any, Array]] = WeakKeyDictionary()  # by device


class Twins:
    """A file of NumPy kernels and its twin in CUDA."""

    def __init__(self, host: ModuleType, device: ModuleType) -> None:
        self.host, self.device = host, device

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, name)

    def _call(self, name: str, *arguments: Any, **named: Any) -> Any:
        if not any(map(launch.owns, arguments)):
            return getattr(self.host, name)(*arguments, **named)
        return getattr(self.device, name)(*arguments, **named)


class _Convolutions(Twins):
    def _call(self, name: str, *arguments: Any, **named: Any) -> Any:
        if not _tf32.get() or not launch.owns(arguments[0]):
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


on_device = launch.owns


def like(values: Array, other: Array) -> Array:
    """``values``, or a copy of them on the device if that is where ``other`` lies."""
    if launch.owns(other) and not launch.owns(values):
        return launch.device().array(np.asarray(values))
    return values


def constant(values: NDArray[Any], other: Array) -> Array:
    """`like` for numbers that never change: of small arrays the device keeps one copy for all."""
    if not launch.owns(other) or values.nbytes > _SMALL:
        return like(values, other)
    kept = _constants.setdefault(launch.device(), {})
    key = values.tobytes(), values.shape, values.dtype
    if key not in kept:
        kept[key] = launch.device().array(values)
    return kept[key]


def to_host(array: Array) -> NDArray[Any]:
    """The array itself if it is of the host, else a copy once the device has computed it."""
    values: NDArray[Any] = launch.device().to_host(array) if launch.owns(array) else array
    return values


def write(array: Array, values: NDArray[Any]) -> None:
    """Replace the numbers of an array, wherever it lies."""
    if launch.owns(array):
        launch.device().write(array, values)
    else:
        np.copyto(array, values)
