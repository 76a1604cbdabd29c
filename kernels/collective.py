"""Sums over a batch of which several processes hold a part each.

Batch norm and the losses are defined over the whole batch. Where a process has only some of its
images, the sums that they take come through here: every process hands in its own and gets those of
all, in the order of their ranks, so that all go on with the same bits. A process that has the whole
batch goes straight through.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

Array = Any  # NumPy's or the GPU's


class Group(Protocol):
    """The processes that share a batch; all of them call `gather`, in the same order.

    ``recordable`` says whether a graph of the GPU can hold that call.
    """

    recordable: bool

    def gather(self, values: Array) -> Array:
        """The values of each process, ``(processes, *values.shape)``, where ``values`` lie.

        They have one shape and dtype, and last until the next call.
        """
        ...


_shared: ContextVar[tuple[Group, int] | None] = ContextVar("shared", default=None)


@contextmanager
def shared(group: Group, images: int) -> Iterator[None]:
    """Inside this context arrays ``(n, ...)`` are parts of a batch of so many images."""
    token = _shared.set((group, images))
    try:
        yield
    finally:
        _shared.reset(token)


def is_shared() -> bool:
    """Whether other processes hold parts of the batch."""
    return _shared.get() is not None


def is_recordable() -> bool:
    """Whether a graph of the GPU can hold what `gather` does."""
    sharing = _shared.get()
    return sharing is None or sharing[0].recordable


def gather(values: Array) -> Array:
    """What `Group.gather` says; without other processes ``values`` alone, ``(1, ...)``."""
    sharing = _shared.get()
    return values[None] if sharing is None else sharing[0].gather(values)


def whole_size(x: Array) -> int:
    """The number of elements of the whole batch that ``x (n, ...)`` is a part of."""
    sharing = _shared.get()
    return math.prod(x.shape) if sharing is None else sharing[1] * math.prod(x.shape[1:])
