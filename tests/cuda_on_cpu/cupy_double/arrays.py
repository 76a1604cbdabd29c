"""``cupy``: arrays, and how they come from and go to the host."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..array import DeviceArray
from .machine import machine
from .memory import MemoryPointer, allocate
from .streams import Stream, get_current_stream


class ndarray(DeviceArray):
    """Operations on it are done at once, after what the current stream was given before.

    CuPy would let them be captured. Here they are refused: a training step has kernels alone.
    """

    def __init__(self, memory: NDArray[Any], data: MemoryPointer) -> None:
        super().__init__(memory)
        self._data = data

    @property
    def data(self) -> MemoryPointer:
        return MemoryPointer(self.memory, self._data._block)

    def set(self, arr: NDArray[Any], stream: Stream) -> None:
        if (arr.shape, arr.dtype) != (self.shape, self.dtype):
            raise ValueError(f"{self.shape} {self.dtype} was set to {arr.shape} {arr.dtype}")
        stream._queue.check_not_capturing()
        stream._queue.add(lambda: np.copyto(self.memory, arr))

    def _view(self, memory: NDArray[Any]) -> "ndarray":
        return ndarray(memory, self._data)

    def _copy(self, values: NDArray[Any]) -> "ndarray":
        made = empty(values.shape, values.dtype)
        made.memory[...] = values
        return made

    def _ready(self, what: str) -> None:
        if get_current_stream()._queue.captured is not None:
            raise RuntimeError(f"{what}: the double of CuPy captures kernels alone")
        machine().finish(get_current_stream()._queue)


def empty(shape: tuple[int, ...], dtype: DTypeLike = float) -> ndarray:
    like = np.empty(shape, dtype)
    data = allocate(like.nbytes)
    return ndarray(data._memory.view(like.dtype).reshape(shape), data)


def asarray(a: NDArray[Any], dtype: None = None, order: str | None = None) -> ndarray:
    if get_current_stream()._queue.captured is not None:
        raise RuntimeError("the current stream is capturing, so H2D transfers are disallowed")
    if a.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {a.dtype}")
    in_c = order == "C" or a.flags.c_contiguous or not a.flags.f_contiguous
    values = np.array(a, order="C" if in_c else "F")
    made = empty(a.shape if in_c else a.shape[::-1], a.dtype)
    if not in_c:
        made = made.T
    get_current_stream()._queue.add(lambda: np.copyto(made.memory, values))
    return made


def asnumpy(a: ndarray) -> NDArray[Any]:
    if get_current_stream()._queue.captured is not None:
        raise RuntimeError("the current stream is capturing, so D2H transfers are disallowed")
    machine().finish(get_current_stream()._queue)
    return a.memory.copy(order="C")
