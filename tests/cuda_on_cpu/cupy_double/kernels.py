"""``cupy.RawModule``: sources that are compiled for the executor, and launched on a stream."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from minispiral.kernels.cuda import sources, table

from ..array import DeviceArray
from .arrays import ndarray
from .machine import CUDADriverError, machine
from .streams import Device, get_current_stream

USUAL_SHARED, MOST_SHARED = 48 * 1024, 227 * 1024  # bytes of a block, without and with asking
MOST_THREADS = 1024


class CompileException(Exception):
    """What NVRTC says of a source that it refuses."""


class RawModule:
    def __init__(
        self, *, code: str, options: tuple[str, ...] = (), name_expressions: Sequence[str]
    ) -> None:
        assert isinstance(code, str)
        assert isinstance(options, tuple)
        self._code, self._options, self._names = code, options, tuple(name_expressions)

    def get_function(self, name: str) -> "RawKernel":
        """Compile, if it has not been done; only what is the source of these kernels."""
        found = machine()
        if not found.nvrtc:
            raise RuntimeError('Failure finding "libnvrtc.so.12": No such file: libnvrtc.so.12\n')
        if not found.headers:
            raise RuntimeError("Failed to find CUDA headers. Please install CUDA toolkit headers")
        arch = min(Device().compute_capability, str(max(found.archs)), key=int)
        if int(arch) not in found.archs:
            raise CompileException("nvrtc: error: invalid value for --gpu-architecture (-arch)\n")
        if arch != Device().compute_capability:
            raise CUDADriverError(209)  # code for an older generation
        file = table.KERNELS[self._names[0]].file
        assert self._code == sources.expand(file)
        assert self._options == sources.OPTIONS
        assert self._names == tuple(table.expressions(file))
        return RawKernel(self._names[self._names.index(name)])


class RawKernel:
    def __init__(self, name: str) -> None:
        self._name, self._device, self._most_shared = name, machine().device, USUAL_SHARED

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self._most_shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, bytes: int) -> None:
        if bytes > MOST_SHARED:
            raise CUDADriverError(1)
        self._most_shared = bytes

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[Any, ...],
        *,
        shared_mem: int = 0,
    ) -> None:
        assert isinstance(grid, tuple)
        assert isinstance(block, tuple)
        assert self._device == machine().device, "a function that another GPU has loaded"
        if shared_mem > self._most_shared or math.prod(block) > MOST_THREADS:
            raise CUDADriverError(1)
        kernel = table.KERNELS[self._name]._replace(shared=shared_mem)
        arguments = [_parameter(value) for value in args]
        run = machine().executor.launch
        get_current_stream()._queue.add(partial(run, kernel, grid, block, arguments))


def _parameter(value: Any) -> Any:
    """The array's memory or the number as it is now: CuPy passes no more than that."""
    if isinstance(value, ndarray):
        return DeviceArray(value.memory)
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.size == 1):
        return value.copy()
    raise TypeError(f"Unsupported type {type(value)}")


def getVersion() -> tuple[int, int]:
    """Of NVRTC: as old as the CUDA that CuPy is built for."""
    return machine().runtime // 1000, machine().runtime % 1000 // 10


def getSupportedArchs() -> tuple[int, ...]:
    return tuple(machine().archs)
