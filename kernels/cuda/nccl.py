"""NCCL through CuPy: GPUs of several processes exchange arrays without the processors' help."""

import ctypes
from typing import Any

import numpy as np

Array = Any  # CuPy's


class NcclCommunicator:
    """A `minispiral.kernels.cuda.launch.Communicator`; ``nccl`` is CuPy's module.

    Calls are queued on the current stream, so that a graph which is being captured there holds
    them. RuntimeError for what NCCL reports.
    """

    def __init__(self, cupy: Any, nccl: Any, size: int, identity: Any, rank: int) -> None:
        self.cupy, self.nccl = cupy, nccl
        self.dtypes = {
            np.dtype(np.float32): nccl.NCCL_FLOAT32,
            np.dtype(np.float64): nccl.NCCL_FLOAT64,
        }
        self.joined = nccl.NcclCommunicator(size, identity, rank)
        # It is never destroyed: that waits until graphs with its calls are, and when Python ends it
        # may come to the communicator first.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.joined))

    def gather(self, values: Array, gathered: Array) -> None:
        addresses = values.data.ptr, gathered.data.ptr
        self.joined.allGather(*addresses, values.size, self.dtypes[values.dtype], self._stream())

    def add(self, values: Array) -> None:
        addresses = values.data.ptr, values.data.ptr
        kind = self.dtypes[values.dtype], self.nccl.NCCL_SUM
        self.joined.allReduce(*addresses, values.size, *kind, self._stream())

    def _stream(self) -> int:
        return int(self.cupy.cuda.get_current_stream().ptr)
