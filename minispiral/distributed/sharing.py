"""A training step whose batch several processes share."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.distributed.world import World
from minispiral.kernels import collective
from minispiral.tensor import Gradient, Tensor, collected

Array = NDArray[Any]

BUCKET = 1 << 22  # bytes of gradients that are summed at once


def sharing(world: World, images: int) -> Callable[[], AbstractContextManager[None]]:
    """What each training step is wrapped in, where ``world`` shares a batch of ``images``.

    Inside, batch norm and losses are those of the whole batch, and backward adds up the gradients
    over the processes: every process then takes the same step.
    """
    if world.size == 1:
        return nullcontext
    gradients = GradientSums(world)

    @contextmanager
    def shared() -> Iterator[None]:
        with collective.shared(world, images), collected(gradients):
            yield

    return shared


class GradientSums:
    """Adds up gradients over the processes while backward goes on.

    Backward hands them over one by one, in the same order in every process. A bucket of them starts
    on its way when it is full, the last one when the first sum is asked for. The memory of the
    buckets is kept: sums are overwritten in the next backward pass.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._open: Bucket | None = None
        self._buffers: list[Array] = []
        self._started = 0  # buckets of this backward pass

    def __call__(self, leaf: Tensor, gradient: Gradient) -> Gradient:
        """The sum of a gradient of ``leaf``, to be asked for when backward is done."""
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
        self._buffers[self._started] = bucket.start(self.world, self._buffers[self._started])
        self._started += 1


class Bucket:
    """Gradients that are summed at once."""

    def __init__(self) -> None:
        self.gradients: list[Gradient] = []
        self.size = 0
        self._flat: Array
        self._wait: Callable[[], None]

    def add(self, gradient: Gradient, shape: tuple[int, ...]) -> Callable[[], Array]:
        """Take in a gradient; the function waits for its sum."""
        start = self.size
        self.size += int(np.prod(shape))
        part = slice(start, self.size)
        self.gradients.append(gradient)

        def total() -> Array:
            self._wait()
            return self._flat[part].reshape(shape)

        return total

    def start(self, world: World, buffer: Array) -> Array:
        """Begin the sum in ``buffer``, or in a new one if that does not fit; it is returned."""
        parts = [g() if callable(g) else g for g in self.gradients]
        self.gradients.clear()
        if buffer.size != self.size or buffer.dtype != parts[0].dtype:
            buffer = np.empty(self.size, parts[0].dtype)
        self._flat = np.concatenate([part.reshape(-1) for part in parts], out=buffer)
        self._wait = world.start_sum(buffer)
        return buffer
