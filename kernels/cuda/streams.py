"""CUDA graphs, and uploads while the GPU computes.

This is what the library asks of CuPy besides memory and launches.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = Any


class Recording:
    """What ``work`` launches on ``stream``, captured as a CUDA graph.

    The arrays that ``work`` makes come from a memory pool of their own. In CuPy's common pool,
    memory that ``work`` has freed would be lent to others, and the graph would write to it at its
    next launch.
    """

    def __init__(self, cupy: Any, stream: Any, work: Callable[[], None]) -> None:
        cupy.get_default_memory_pool().free_all_blocks()  # which earlier steps have left
        self.stream = stream
        self.pool = cupy.cuda.MemoryPool()
        with stream, cupy.cuda.using_allocator(self.pool.malloc):
            stream.begin_capture()
            try:
                work()
            except BaseException:
                with suppress(Exception):  # what failed may have made the capture invalid
                    stream.end_capture()
                raise
            self.graph = stream.end_capture()

    def launch(self) -> None:
        self.graph.launch(self.stream)


class _Slot(NamedTuple):
    pinned: list[Array]  # of the host, where a copy in the background may read them
    staged: list[Array]  # of the GPU
    sent: Any  # event: the copy is done, ``pinned`` is free
    taken: Any  # event: the targets have it, ``staged`` is free


class PinnedUploads:
    """Copies to the GPU on a stream of their own; see `minispiral.kernels.cuda.launch.Uploads`.

    There are two slots: one is filled and copied while the GPU still computes with what came
    through the other. The targets are written on the stream that computes, between two steps.
    """

    def __init__(
        self, cupy: Any, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[DTypeLike]
    ) -> None:
        import cupyx

        kinds = list(zip(shapes, dtypes, strict=True))
        self.cupy = cupy
        self.targets = [cupy.empty(*kind) for kind in kinds]
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.slots = [
            _Slot(
                [cupyx.empty_pinned(*kind) for kind in kinds],
                [cupy.empty(*kind) for kind in kinds],
                cupy.cuda.Event(disable_timing=True),
                cupy.cuda.Event(disable_timing=True),
            )
            for _ in range(2)
        ]
        for slot in self.slots:  # their memory may still be in use by what was launched before
            slot.taken.record(cupy.cuda.get_current_stream())

    def send(self, *values: NDArray[Any]) -> None:
        computing = self.cupy.cuda.get_current_stream()
        slot = self.slots[0]
        self.slots.reverse()
        slot.sent.synchronize()
        for pinned, array in zip(slot.pinned, values, strict=True):
            np.copyto(pinned, array)
        self.stream.wait_event(slot.taken)
        for staged, pinned in zip(slot.staged, slot.pinned, strict=True):
            staged.set(pinned, stream=self.stream)
        slot.sent.record(self.stream)
        computing.wait_event(slot.sent)
        for target, staged in zip(self.targets, slot.staged, strict=True):
            target.data.copy_from_device_async(staged.data, staged.nbytes, computing)
        slot.taken.record(computing)
