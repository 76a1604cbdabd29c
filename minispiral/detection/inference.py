"""Inference: logits without a tape, of a network in evaluation mode."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from minispiral.kernels.arrays import Array, on_gpu
from minispiral.kernels.cpu import parallel
from minispiral.networks import Network
from minispiral.tensor import Tensor, no_grad


def infer(network: Callable[[Tensor], Tensor], x: Array) -> Array:
    """The logits (n, h, w, 1) of a network in evaluation mode for ``x`` (n, h, w, 3).

    On the CPU each half of the batch goes through the network in a thread of its own. Two threads
    that shared every layer would have to wait for each other after each.
    """

    def logits(images: Array) -> Array:
        with no_grad():  # applies to the thread that enters it
            return network(Tensor(images)).data

    if on_gpu(x):
        return logits(x)
    halves = parallel.slices(len(x), -(-len(x) // 2))
    return np.concatenate(parallel.run(lambda half: logits(x[half]), halves))


@contextmanager
def evaluating(network: Network) -> Iterator[None]:
    """``network`` is in evaluation mode, and afterwards in the mode that it was in."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        if training:
            network.train()
