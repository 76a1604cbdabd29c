"""A double of CuPy: the names that the library uses of it, on NumPy and the CPU executor.

The library's whole way to a GPU (`kernels/cuda/cupy_gpu.py`, `streams.py`, `nccl.py`) runs on it
unchanged. It refuses what CuPy and CUDA refuse, and takes the arguments that the library gives
them, no others; `check_double` compares names and arguments with CuPy's packages.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from minispiral.kernels.cuda import launch

from . import arrays, kernels, memory, nccl, streams
from .machine import CUDARuntimeError, Machine, set_machine

__all__ = ["Machine", "in_place_of_cupy", "modules"]


def modules() -> dict[str, Any]:
    """What stands for CuPy's modules, by their names."""
    runtime = SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        driverGetVersion=streams.driverGetVersion,
        getDeviceCount=streams.getDeviceCount,
        getDeviceProperties=streams.getDeviceProperties,
        runtimeGetVersion=streams.runtimeGetVersion,
    )
    cuda = SimpleNamespace(
        Device=streams.Device,
        Event=streams.Event,
        Graph=streams.Graph,
        MemoryPointer=memory.MemoryPointer,
        MemoryPool=memory.MemoryPool,
        Stream=streams.Stream,
        get_current_stream=streams.get_current_stream,
        is_available=streams.is_available,
        nvrtc=SimpleNamespace(
            getSupportedArchs=kernels.getSupportedArchs, getVersion=kernels.getVersion
        ),
        runtime=runtime,
        using_allocator=memory.using_allocator,
    )
    cupy = SimpleNamespace(
        RawKernel=kernels.RawKernel,
        RawModule=kernels.RawModule,
        asarray=arrays.asarray,
        asnumpy=arrays.asnumpy,
        cuda=cuda,
        empty=arrays.empty,
        get_default_memory_pool=memory.get_default_memory_pool,
        ndarray=arrays.ndarray,
    )
    communication = SimpleNamespace(
        NCCL_FLOAT32=nccl.NCCL_FLOAT32,
        NCCL_FLOAT64=nccl.NCCL_FLOAT64,
        NCCL_SUM=nccl.NCCL_SUM,
        NcclCommunicator=nccl.NcclCommunicator,
        available=nccl.available,
        get_unique_id=nccl.get_unique_id,
    )
    return {
        "cupy": cupy,
        "cupy.cuda.nccl": communication,
        "cupyx": SimpleNamespace(empty_pinned=memory.empty_pinned),
    }


@contextmanager
def in_place_of_cupy(machine: Machine | None = None) -> Iterator[Machine]:
    """Inside this context CuPy is this double, on a machine of its own, and nothing is loaded."""
    machine = machine or Machine()
    found = modules()
    found["cupy"].__version__ = machine.version
    before = set_machine(machine)
    nccl.calls.clear()
    memory.get_default_memory_pool().free_all_blocks()
    try:
        with (
            patch.dict(sys.modules, found),
            patch.object(launch, "_gpu", None),
            patch.object(launch, "_number", None),
        ):
            yield machine
    finally:
        memory.get_default_memory_pool().free_all_blocks()
        set_machine(before)
