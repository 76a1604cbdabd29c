"""A training step whose batch several processes share."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import numpy as np

from minispiral.kernels import collective, layout
from minispiral.kernels.arrays import on_gpu
from minispiral.tensor import Gradient, Tensor, collected

Array = Any  # NumPy's or the GPU's

BUCKET = 1 << 22  # bytes of gradients that are summed at once


class Sharers(collective.Group, Protocol):
    """The processes that share a batch: a `World`; on GPUs what `distributed.gpu.sharers` makes."""

    size: int

    def start_sum(self, values: Array) -> Callable[[], None]:
        """Begin to replace ``values`` by their sum over the processes; the function waits for it.

        All processes get the same bits.
        """
        ...


def sharing(group: Sharers, images: int) -> Callable[[], AbstractContextManager[None]]:
    """What each training step is wrapped in, where the processes share a batch of ``images``.

    Inside, batch norm and losses are those of the whole batch, and backward adds up the gradients
    over the processes: every process then takes the same step.
    """
    return nullcontext if group.size == 1 else exchanging(group, images)


def exchanging(group: Sharers, images: int) -> Callable[[], AbstractContextManager[None]]:
    """The same for any number of processes, of which there may be one."""
    gradients = GradientSums(group)

    @contextmanager
    def shared() -> Iterator[None]:
        with collective.shared(group, images), collected(gradients):
            yield

    return shared


class GradientSums:
    """Adds up gradients over the processes while backward goes on.

    Backward hands them over one by one, in the same order in every process. A bucket of them starts
    on its way when it is full, the last one when the first sum is asked for. On the CPU the memory
    of the buckets is kept: sums are overwritten in the next backward pass.
    """

    def __init__(self, group: Sharers) -> None:
        self.group = group
        self._open: Bucket | None = None
        self._buffers: list[Array] = []
        self._started = 0  # buckets of this backward pass

    def __call__(self, leaf: Tensor, gradient: Gradient) -> Gradient:
        """The sum of a gradient of ``leaf``, to be asked for when backward is done."""
        if leaf.data.nbytes >= BUCKET:
            self._start()  # so that it is alone in its bucket, and need not be copied
        bucket = self._open = self._open or Bucket()
        total = bucket.add(gradient, leaf.shape)
        if bucket.size * leaf.dtype.itemsize >= BUCKET:
            self._start()

        def ask() -> Array:
            self._start()
            self._started = 0  # backward is done
            return total()

        return ask

    def _start(self) -> None:
        """Send the open bucket on its way, if there is one."""
        bucket, self._open = self._open, None
        if bucket is None:
            return
        if self._started == len(self._buffers):
            self._buffers.append(np.empty(0))
        self._buffers[self._started] = bucket.start(self.group, self._buffers[self._started])
        self._started += 1


class Bucket:
    """Gradients that are summed at once."""

    def __init__(self) -> None:
        self.gradients: list[Gradient] = []
        self.size = 0
        self._flat: Array
        self._wait: Callable[[], None] | None = None

    def add(self, gradient: Gradient, shape: tuple[int, ...]) -> Callable[[], Array]:
        """Take in a gradient; the function waits for its sum."""
        start = self.size
        self.size += math.prod(shape)
        part = slice(start, self.size)
        self.gradients.append(gradient)

        def total() -> Array:
            if self._wait is not None:
                self._wait()
                self._wait = None
            return self._flat[part].reshape(shape)

        return total

    def start(self, group: Sharers, buffer: Array) -> Array:
        """Begin the sum: in ``buffer``, or in a new one if that does not fit; it is returned.

        On the GPU, which keeps a pool of memory, ``buffer`` is left alone.
        """
        parts = [(g() if callable(g) else g).reshape(-1) for g in self.gradients]
        self.gradients.clear()
        if len(parts) == 1:
            self._flat = parts[0]
        elif on_gpu(parts[0]):
            self._flat = layout.concatenate(*parts)
        else:
            if buffer.size != self.size or buffer.dtype != parts[0].dtype:
                buffer = np.empty(self.size, parts[0].dtype)
            self._flat = np.concatenate(parts, out=buffer)
        self._wait = group.start_sum(self._flat)
        return buffer
