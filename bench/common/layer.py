"""A convolution alone: its sizes, and its three operations timed."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

OPERATIONS = ("forward", "input_grad", "weight_grad")
LEAST_SECONDS = 0.02  # a short operation is repeated to fill this

Operations = Mapping[str, Callable[[], Any]]


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
        """GFLOP of each of the three operations, two per multiply-add."""
        pixels = self.n * min(self.h, self.oh) ** 2
        return 2 * pixels * self.size**2 * self.ci * self.co / 1e9

    def __str__(self) -> str:
        kind = "transposed" if self.transpose else "conv"
        return f"{kind} {self.size}x{self.size}, {self.h} x {self.ci} to {self.oh} x {self.co}"


def time_operations(operations: Operations) -> dict[str, float]:
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
