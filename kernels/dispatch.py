"""Which kernels run: those in NumPy or those in CUDA, by where the arrays lie.

``batchnorm``, ``convolution`` and the others here stand each for two files of kernels. Their
functions call the CUDA kernel where they are given arrays of the device of
`minispiral.kernels.cuda.launch`, and the NumPy one otherwise. Beside them stands what moves arrays
from one place to the other.
"""

from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from . import conv2d as front
from .arrays import get as to_host
from .arrays import like
from .arrays import on_gpu as on_device
from .cpu import arithmetic as numpy_arithmetic
from .cpu import batchnorm as numpy_batchnorm
from .cpu import layout as numpy_layout
from .cpu import losses as numpy_losses
from .cpu import pooling as numpy_pooling
from .cuda import arithmetic as cuda_arithmetic
from .cuda import batchnorm as cuda_batchnorm
from .cuda import launch
from .cuda import layout as cuda_layout
from .cuda import losses as cuda_losses
from .cuda import pooling as cuda_pooling
from .cuda.tf32 import tf32
from .epilogues import Moments, ScaleShiftReLU

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


class convolution:
    """The front with the arguments of before."""

    @staticmethod
    def _with(call: Any, moments: bool, scale_shift: Any) -> Any:
        epilogue = ScaleShiftReLU(*scale_shift) if scale_shift else Moments() if moments else None
        y = call(epilogue)
        return (y, epilogue.mean, epilogue.var) if isinstance(epilogue, Moments) else y

    @classmethod
    def conv2d(
        cls, x: Any, w: Any, stride: int = 1, pad: int = 0, moments: Any = 0, scale_shift: Any = 0
    ) -> Any:
        return cls._with(lambda e: front.conv2d(x, w, stride, pad, e), moments, scale_shift)

    @classmethod
    def conv2d_input_grad(
        cls,
        gy: Any,
        w: Any,
        hw: Any,
        stride: int = 1,
        pad: int = 0,
        moments: Any = 0,
        scale_shift: Any = 0,
    ) -> Any:
        return cls._with(
            lambda e: front.conv2d_input_grad(gy, w, hw, stride, pad, e), moments, scale_shift
        )

    conv2d_weight_grad = staticmethod(front.conv2d_weight_grad)


if TYPE_CHECKING:  # the NumPy files say what there is, and the types
    from .cpu import arithmetic, batchnorm, layout, losses, pooling
else:
    arithmetic = Twins(numpy_arithmetic, cuda_arithmetic)
    batchnorm = Twins(numpy_batchnorm, cuda_batchnorm)
    layout = Twins(numpy_layout, cuda_layout)
    losses = Twins(numpy_losses, cuda_losses)
    pooling = Twins(numpy_pooling, cuda_pooling)


def constant(values: NDArray[Any], other: Array) -> Array:
    """`like` for numbers that never change."""
    return like(values, other, constant=True)


def write(array: Array, values: NDArray[Any]) -> None:
    """Replace the numbers of an array, wherever it lies."""
    array[...] = like(values, array)
