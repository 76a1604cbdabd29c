"""The arrays of the CPU device: like CuPy's, and as strict where the host is concerned."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import DTypeLike, NDArray

_recording = False  # whether launches are being recorded


@contextmanager
def recording() -> Iterator[None]:
    """Inside this context only kernels may compute."""
    global _recording
    _recording = True
    try:
        yield
    finally:
        _recording = False


def check_not_recording(what: str) -> None:
    """RuntimeError while a graph is being recorded: it would not hold ``what``."""
    if _recording:
        raise RuntimeError(f"{what}: the graph that is being recorded would not hold it")


class DeviceArray(NDArrayOperatorsMixin):
    """An array that kernels can reach, in ``memory``.

    NumPy's functions and operators work on it and give another one, at once. As with CuPy's arrays,
    mixing it with an array of the host is a TypeError, and so is an implicit conversion to one.
    ``reads`` counts how often the host has asked for a value.
    """

    reads = 0

    def __init__(self, memory: NDArray[Any]) -> None:
        self.memory = memory

    shape = property(lambda self: self.memory.shape)
    dtype = property(lambda self: self.memory.dtype)
    size = property(lambda self: self.memory.size)
    ndim = property(lambda self: self.memory.ndim)
    nbytes = property(lambda self: self.memory.nbytes)
    itemsize = property(lambda self: self.memory.itemsize)
    strides = property(lambda self: self.memory.strides)
    flags = property(lambda self: self.memory.flags)
    T = property(lambda self: self._view(self.memory.T))

    def __repr__(self) -> str:
        return f"DeviceArray({self.memory!r})"

    def __len__(self) -> int:
        return len(self.memory)

    def __array__(self, *arguments: Any, **named: Any) -> NDArray[Any]:
        raise TypeError("an array of the device does not become one of the host unasked")

    def _view(self, memory: NDArray[Any]) -> "DeviceArray":
        """An array of the same memory."""
        return DeviceArray(memory)

    def _copy(self, values: NDArray[Any]) -> "DeviceArray":
        """A new array with these values."""
        return DeviceArray(values)

    def _ready(self, what: str) -> None:
        """Make sure that ``what`` may be done now; RuntimeError where a graph would not hold it."""
        check_not_recording(what)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **named: Any) -> Any:
        self._ready(ufunc.__name__)
        for operand in inputs:
            if isinstance(operand, np.ndarray):
                raise TypeError(f"{ufunc.__name__} of an array of the device and one of the host")
        if "out" in named:
            named["out"] = tuple(_memory(out) for out in named["out"])
        return self._wrap(getattr(ufunc, method)(*map(_memory, inputs), **named))

    def __array_function__(
        self, function: Any, types: Any, arguments: Sequence[Any], named: dict[str, Any]
    ) -> Any:
        self._ready(function.__name__)
        if any(isinstance(argument, np.ndarray) for argument in arguments):
            raise TypeError(f"{function.__name__} of an array of the device and one of the host")
        named = {name: _memory(value) for name, value in named.items()}
        return self._wrap(function(*map(_memory, arguments), **named))

    def _wrap(self, result: Any) -> Any:
        if isinstance(result, np.ndarray | np.generic):
            return self._copy(np.asarray(result))
        if isinstance(result, list | tuple):
            return type(result)(map(self._wrap, result))
        return result

    def __getitem__(self, place: Any) -> "DeviceArray":
        return self._view(np.asarray(self.memory[_memory(place)]))

    def __setitem__(self, place: Any, value: Any) -> None:
        self._ready("assignment")
        if isinstance(value, np.ndarray) and value.ndim:
            raise TypeError("an array of the host was assigned to one of the device")
        self.memory[_memory(place)] = _memory(value)

    def reshape(self, *shape: Any) -> "DeviceArray":
        return self._view(self.memory.reshape(*shape))

    def copy(self) -> "DeviceArray":
        self._ready("copy")
        return self._copy(self.memory.copy())

    def astype(self, dtype: DTypeLike) -> "DeviceArray":
        self._ready("astype")
        return self._copy(self.memory.astype(dtype))

    def sum(self, axis: Any = None, *, keepdims: bool = False) -> "DeviceArray":
        self._ready("sum")
        return self._copy(np.asarray(self.memory.sum(axis, keepdims=keepdims)))

    def any(self) -> "DeviceArray":
        self._ready("any")
        return self._copy(np.asarray(self.memory.any()))

    def item(self) -> Any:
        self._ready("a value read by the host")
        DeviceArray.reads += 1
        return self.memory.item()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())


def _memory(value: Any) -> Any:
    """What NumPy works on: the memory of arrays of the device, also within lists and tuples."""
    if isinstance(value, DeviceArray):
        return value.memory
    if type(value) in (list, tuple):
        return type(value)(map(_memory, value))
    return value
