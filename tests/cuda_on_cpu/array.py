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
    T = property(lambda self: DeviceArray(self.memory.T))

    def __repr__(self) -> str:
        return f"DeviceArray({self.memory!r})"

    def __len__(self) -> int:
        return len(self.memory)

    def __array__(self, *arguments: Any, **named: Any) -> NDArray[Any]:
        raise TypeError("an array of the device does not become one of the host unasked")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **named: Any) -> Any:
        check_not_recording(ufunc.__name__)
        for operand in inputs:
            if isinstance(operand, np.ndarray):
                raise TypeError(f"{ufunc.__name__} of an array of the device and one of the host")
        if "out" in named:
            named["out"] = tuple(_memory(out) for out in named["out"])
        return _wrap(getattr(ufunc, method)(*map(_memory, inputs), **named))

    def __array_function__(
        self, function: Any, types: Any, arguments: Sequence[Any], named: dict[str, Any]
    ) -> Any:
        check_not_recording(function.__name__)
        if any(isinstance(argument, np.ndarray) for argument in arguments):
            raise TypeError(f"{function.__name__} of an array of the device and one of the host")
        named = {name: _memory(value) for name, value in named.items()}
        return _wrap(function(*map(_memory, arguments), **named))

    def __getitem__(self, place: Any) -> "DeviceArray":
        return DeviceArray(np.asarray(self.memory[_memory(place)]))

    def __setitem__(self, place: Any, value: Any) -> None:
        check_not_recording("assignment")
        if isinstance(value, np.ndarray) and value.ndim:
            raise TypeError("an array of the host was assigned to one of the device")
        self.memory[_memory(place)] = _memory(value)

    def reshape(self, *shape: Any) -> "DeviceArray":
        return DeviceArray(self.memory.reshape(*shape))

    def copy(self) -> "DeviceArray":
        check_not_recording("copy")
        return DeviceArray(self.memory.copy())

    def astype(self, dtype: DTypeLike) -> "DeviceArray":
        check_not_recording("astype")
        return DeviceArray(self.memory.astype(dtype))

    def sum(self, axis: Any = None, keepdims: bool = False) -> "DeviceArray":
        check_not_recording("sum")
        return DeviceArray(np.asarray(self.memory.sum(axis, keepdims=keepdims)))

    def any(self) -> "DeviceArray":
        check_not_recording("any")
        return DeviceArray(np.asarray(self.memory.any()))

    def item(self) -> Any:
        check_not_recording("a value read by the host")
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


def _wrap(result: Any) -> Any:
    if isinstance(result, np.ndarray | np.generic):
        return DeviceArray(np.asarray(result))
    if isinstance(result, list | tuple):
        return type(result)(map(_wrap, result))
    return result
