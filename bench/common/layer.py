"""The distinct layers of a network, and the worker protocol that times one of them."""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from minispiral.networks import Network
from minispiral.nn import Conv2d, ConvNormReLU

OPERATIONS = ("forward", "input_grad", "weight_grad")
LEAST_SECONDS = 0.02  # a short operation is repeated to fill this


@dataclass(frozen=True)
class Layer:
    """A convolution, or a transposed one, of ``n`` square images ``(n, h, h, ci)``."""

    transpose: bool
    size: int
    stride: int
    ci: int
    co: int
    n: int
    h: int

    @property
    def oh(self) -> int:
        """The side of the output."""
        if self.transpose:
            return self.stride * (self.h - 1) + self.size
        return (self.h - self.size) // self.stride + 1

    @property
    def gflop(self) -> float:
        """Of each of the three operations, two per multiply-add."""
        pixels = self.n * min(self.h, self.oh) ** 2
        return 2 * pixels * self.size**2 * self.ci * self.co / 1e9

    def __str__(self) -> str:
        kind = "transposed" if self.transpose else "conv"
        return f"{kind} {self.size}x{self.size}, {self.h} x {self.ci} to {self.oh} x {self.co}"

    def request(self) -> str:
        """The line that has a worker time this layer."""
        return json.dumps(asdict(self))

    @classmethod
    def requested(cls, line: str) -> Self:
        return cls(**json.loads(line))


def distinct_layers(network: Network, n: int, side: int) -> dict[Layer, dict[str, int]]:
    """Each distinct layer and how often a training step runs its three operations."""
    modules = {prefix.removesuffix("."): module for prefix, module in network.modules()}
    counts: dict[Layer, dict[str, int]] = {}
    for i, info in enumerate(network.layers(side)):
        module = modules[info.name]
        conv = module.conv if isinstance(module, ConvNormReLU) else module
        assert isinstance(conv, Conv2d)
        assert conv.pad == 0
        h, _, ci = info.input
        layer = Layer(conv.transpose, conv.w.shape[0], conv.stride, ci, info.output[2], n, h)
        count = counts.setdefault(layer, dict.fromkeys(OPERATIONS, 0))
        for operation in OPERATIONS:
            # the first layer hands the photograph no gradient
            count[operation] += 0 if i == 0 and operation == "input_grad" else 1
    return counts


def time_operations(operations: Mapping[str, Callable[[], object]]) -> dict[str, Any]:
    """Seconds of each operation, the average over the calls that fill `LEAST_SECONDS`."""
    found = {}
    for name, run in operations.items():
        start = time.perf_counter()
        run()
        once = time.perf_counter() - start
        calls = max(1, math.ceil(LEAST_SECONDS / once))
        start = time.perf_counter()
        for _ in range(calls):
            run()
        found[name] = (time.perf_counter() - start) / calls
    return found
