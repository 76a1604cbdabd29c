"""The network of a task, in minispiral."""

import hashlib

import numpy as np

from bench.common.layer import OPERATIONS, Layer
from bench.common.task import Task
from minispiral.kernels.arrays import get
from minispiral.networks import Network, build
from minispiral.nn import Conv2d


def network_of(task: Task, rng: np.random.Generator) -> Network:
    """Spiral-Net with modules of depth 1 to the task's, or a U-Net of that depth."""
    return build(task.network, depths=range(1, task.depths + 1), width=task.width, rng=rng)


def gflop(network: Network, task: Task) -> float:
    """GFLOP of the convolutions of a step, two per multiply-add.

    Each gradient costs what the forward pass costs, but the first layer, the only one to see the
    photograph, passes no gradient on.
    """
    layers = network.layers(task.side)
    forward = sum(layer.macs for layer in layers)
    macs = forward if task.mode == "infer" else 3 * forward - layers[0].macs
    return 2 * task.batch * macs / 1e9


def parameters(network: Network) -> int:
    return sum(p.data.size for p in network.parameters())


def distinct_layers(network: Network, n: int, side: int) -> dict[Layer, dict[str, int]]:
    """Each distinct layer and how often a training step runs its three operations."""
    modules = {prefix.removesuffix("."): module for prefix, module in network.modules()}
    counts: dict[Layer, dict[str, int]] = {}
    for i, info in enumerate(network.layers(side)):
        [conv] = [m for _, m in modules[info.name].modules() if isinstance(m, Conv2d)]
        assert conv.pad == 0
        h, _, ci = info.input
        layer = Layer(conv.transpose, conv.w.shape[0], conv.stride, ci, info.output[2], n, h)
        count = counts.setdefault(layer, dict.fromkeys(OPERATIONS, 0))
        for operation in OPERATIONS:
            # nothing needs the gradient of the photograph
            count[operation] += 0 if i == 0 and operation == "input_grad" else 1
    return counts


def digest(network: Network, *more: np.ndarray) -> str:
    """The bits of all weights and running statistics, and of ``more`` arrays, as a hash."""
    bits = hashlib.sha256()
    for array in (*network.state().values(), *more):
        bits.update(np.ascontiguousarray(get(array)).tobytes())
    return bits.hexdigest()
