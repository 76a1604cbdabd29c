"""Blocks of convolution, batch norm and ReLU on the CUDA device."""

from itertools import pairwise

import numpy as np
import pytest

from minispiral import ops
from minispiral.fused import ConvNormReLU, Running
from minispiral.tensor import Tensor
from tests.cuda_on_cpu import DeviceArray, needs_compiler

pytestmark = needs_compiler

CHANNELS = 3, 16, 32, 16, 1  # of a picture, and of blocks that tensor cores normalise as they read


class Blocks:
    """A few blocks, the last two transposed, on a device (None: NumPy, in float64)."""

    def __init__(self, arrays, device=None):
        self.device = device
        self.x = self.put(arrays["x"])
        self.weights = [
            tuple(self.put(array) for array in arrays[i]) for i in range(len(CHANNELS) - 1)
        ]
        self.running = [
            Running(self.put(np.zeros(c)).data, self.put(np.ones(c)).data, 0.1)
            for c in CHANNELS[1:]
        ]

    def put(self, values):
        if self.device is None:
            return Tensor(np.float64(values), requires_grad=True)
        return Tensor(self.device.put(np.float32(values)), requires_grad=True)

    def __call__(self, i, x):
        return ConvNormReLU(1e-5, 2, 0, i >= 2, None, self.running[i])(x, *self.weights[i])

    def gradients(self):
        tensors = [self.x, *(tensor for weights in self.weights for tensor in weights)]
        return [host(tensor.grad) for tensor in tensors]


def host(array):
    return array.memory if isinstance(array, DeviceArray) else array


@pytest.fixture
def arrays(rng):
    made = {"x": rng.standard_normal((2, 23, 19, 3))}
    for i, (ci, co) in enumerate(pairwise(CHANNELS)):
        big, small = (co, ci) if i >= 2 else (ci, co)
        weights = rng.standard_normal((3, 3, big, small)) / np.sqrt(9 * ci)
        made[i] = weights, *rng.uniform(0.5, 1.5, (2, co))
    return made


def chain(blocks):
    x = blocks.x
    for i in range(len(CHANNELS) - 1):
        x = blocks(i, x)
    return x


def two_readers(blocks):
    """The first block's output goes to the second one twice, so its gradient has two parts."""
    y = blocks(0, blocks.x)
    return ops.concatenate([blocks(1, y), blocks(1, y)])


def assert_close(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * np.abs(theirs).max())


@pytest.mark.parametrize("network", [chain, two_readers])
def test_values_gradients_and_running_moments_are_those_of_numpy(rng, executor, arrays, network):
    results = []
    gy = None
    for device in (None, executor):
        blocks = Blocks(arrays, device)
        y = network(blocks)
        gy = rng.standard_normal(y.shape) if gy is None else gy
        for tensors in blocks.weights:
            for tensor in tensors:
                tensor.grad = None
        y.backward(gy if device is None else device.put(np.float32(gy)))
        used = len(CHANNELS) - 1 if network is chain else 2
        gradients = blocks.gradients()[: 1 + 3 * used]
        moments = [host(array) for running in blocks.running for array in running[:2]]
        results.append([host(y.data), *gradients, *moments])
    assert_close(results[1], results[0])


def test_an_output_between_blocks_is_never_made_nor_summed_again(executor, arrays):
    y = chain(Blocks(arrays, executor))
    assert not any("normalize" in name for name in executor.launched)
    y.backward(y.data)
    count = {
        name: executor.launched.count(f"{name}<float, true>")
        for name in ("normalize", "block_grad_sums")
    }
    assert count == {"normalize": 1, "block_grad_sums": 1}, "of the last block alone"


def test_sums_of_one_of_two_gradients_are_not_taken_for_those_of_both(executor, arrays):
    y = two_readers(Blocks(arrays, executor))
    y.backward(y.data)
    assert executor.launched.count("block_grad_sums<float, true>") == 3


def test_an_output_is_made_once_however_often_it_is_asked_for(executor, arrays):
    y = Blocks(arrays, executor)(0, Blocks(arrays, executor).x)
    assert y.data is y.data
    assert executor.launched.count("normalize<float, true>") == 1
