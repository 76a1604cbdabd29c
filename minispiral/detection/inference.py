"""A network at work: logits of pictures, without a tape."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.kernels.cpu import parallel
from minispiral.kernels.dispatch import on_device
from minispiral.tensor import Tensor, no_grad

Array = NDArray[Any]


def infer(network: Callable[[Tensor], Tensor], x: Array) -> Array:
    """The logits that a network in evaluation mode gives for ``x (n, h, w, 3)``.

    On the CPU the two halves of the pictures go through it at the same time, each in a thread of
    its own: two threads that share every layer wait for each other at every layer.
    """

    def logits(pictures: Array) -> Array:
        with no_grad():  # it holds for the thread that enters it
            return network(Tensor(pictures)).data

    if on_device(x):
        return logits(x)
    halves = parallel.slices(len(x), -(-len(x) // 2))
    return np.concatenate(parallel.run(lambda half: logits(x[half]), halves))
