"""``cupy.cuda``: memory pools, which lend again what was given back; and the host's pinned memory.

A pool keeps the blocks of each stream apart, as CuPy's does: work that is queued on a stream may
still use memory that the host has given back, as long as it is lent to the same stream.
"""

import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .machine import machine
from .streams import Stream, get_current_stream

UNIT = 512  # bytes that sizes are rounded up to


class OutOfMemoryError(MemoryError):
    def __init__(self, size: int, total: int) -> None:
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,})")


class _Allocation:
    """Memory that is the driver's again once nobody holds this, and all that was queued is done."""

    def __init__(self, size: int) -> None:
        if machine().taken + size > machine().memory:
            raise OutOfMemoryError(size, machine().taken)
        self.owner, self.size = machine(), size
        machine().taken += size
        self.memory = np.full(size, 0xFF, np.uint8)  # NaN in any float

    def __del__(self) -> None:
        if hasattr(self, "owner"):
            self.owner.taken -= self.size
            self.owner.freed.append(self.memory)


class _Block:
    """An allocation that goes back to its pool, if that still exists, once nobody holds this."""

    def __init__(self, allocation: _Allocation, free: list[_Allocation]) -> None:
        self.allocation, self.free = allocation, weakref.ref(free)

    def __del__(self) -> None:
        free = self.free()
        if free is not None:
            free.append(self.allocation)


class _Free(list[_Allocation]):
    """A list that weak references can point to."""


class MemoryPointer:
    """The beginning of ``memory``, which is contiguous; it keeps what it points to."""

    def __init__(self, memory: NDArray[Any], block: _Block) -> None:
        self._memory, self._block = memory, block

    @property
    def ptr(self) -> int:
        return int(self._memory.ctypes.data)

    def copy_from_device_async(self, src: "MemoryPointer", size: int, stream: Stream) -> None:
        to, source = (pointer._memory.reshape(-1).view(np.uint8)[:size] for pointer in (self, src))
        assert to.size == source.size == size
        stream._queue.add(lambda: np.copyto(to, source))


class MemoryPool:
    def __init__(self) -> None:
        self._free: dict[tuple[int, int, int], _Free] = defaultdict(_Free)

    def malloc(self, size: int) -> MemoryPointer:
        room = -(-max(size, 1) // UNIT) * UNIT
        free = self._free[machine().device, get_current_stream().ptr, room]
        if free:
            allocation = free.pop()
        else:
            try:
                allocation = _Allocation(room)
            except OutOfMemoryError:
                self.free_all_blocks()
                allocation = _Allocation(room)
        return MemoryPointer(allocation.memory[:size], _Block(allocation, free))

    def free_all_blocks(self) -> None:
        for free in self._free.values():
            free.clear()


_default_pool = MemoryPool()


def get_default_memory_pool() -> MemoryPool:
    return _default_pool


@contextmanager
def using_allocator(allocator: Callable[[int], MemoryPointer]) -> Iterator[None]:
    machine().allocators.append(allocator)
    try:
        yield
    finally:
        machine().allocators.pop()


def allocate(size: int) -> MemoryPointer:
    """Memory of the allocator in use."""
    allocators = machine().allocators
    return (allocators[-1] if allocators else _default_pool.malloc)(size)


def empty_pinned(shape: tuple[int, ...], dtype: DTypeLike = float) -> NDArray[Any]:
    array = np.empty(shape, dtype)
    array.reshape(-1).view(np.uint8)[:] = 0xFF
    return array
