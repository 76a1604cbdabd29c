"""The double of CuPy with what measuring asks of CuPy besides: `gpu` takes the place of a GPU.

For ``python -m bench.gpu.first --rehearse``, which names it in words.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from minispiral.kernels.cuda import table

from .cupy_double import Machine, in_place_of_cupy, kernels
from .cupy_double.machine import machine


class RawKernel(kernels.RawKernel):
    """With what the driver would say of it, as a GPU would that has nothing to say."""

    @property
    def kernel(self) -> Any:
        return SimpleNamespace(ptr=id(self))

    @property
    def attributes(self) -> dict[str, int]:
        names = "num_regs", "local_size_bytes", "ptx_version", "binary_version"
        return dict.fromkeys(names, 0)


class RawModule(kernels.RawModule):
    """Compiles when it is asked for a function, as CuPy does, and not at the first launch."""

    def get_function(self, name: str) -> RawKernel:
        super().get_function(name)
        machine().executor.library(table.KERNELS[name].file)
        return RawKernel(name)


def occupancyMaxActiveBlocksPerMultiprocessor(
    func: int, blockSize: int, dynamicSMemSize: int
) -> int:
    return 1


@contextmanager
def gpu() -> Iterator[Machine]:
    """Inside this context there is a GPU."""
    with in_place_of_cupy() as found:
        cupy: Any = sys.modules["cupy"]
        cupy.RawModule = RawModule
        cupy.cuda.driver = SimpleNamespace(
            occupancyMaxActiveBlocksPerMultiprocessor=occupancyMaxActiveBlocksPerMultiprocessor
        )
        cupy.cuda.profiler = SimpleNamespace(start=lambda: None, stop=lambda: None)
        cupy.cuda.set_allocator = lambda allocator=None: None
        yield found
