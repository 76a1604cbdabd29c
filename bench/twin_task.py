"""What both sides of the twin are given: sizes, weights and batches.

Weights and batches are functions of integers, computed by operations that IEEE 754 rounds one way
only. So they have the same bits in any library, of any version, on any machine.
"""

import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Task(NamedTuple):
    """A network and how it is trained."""

    network: str
    depths: tuple[int, ...]
    width: float
    batch: int = 4  # batch norm at the 1 x 1 bottom has this many values
    side: int = 255
    steps: int = 20
    lr: float = 1e-3


TASKS = {
    task.network: task
    for task in (Task("spiral", (1, 2, 3, 4, 5, 6, 7), 1 / 16), Task("unet", (7,), 1 / 16))
}

# Where each vector starts: its middle, and how far its elements scatter to either side. With beta
# about 0 the 56 layers of Spiral-Net, one behind the other, would amplify rounding ten
# thousandfold. With beta about 1 a ReLU cuts one value in six, and a hundredfold is left.
VECTORS = {
    "gamma": (1, 0.25),
    "beta": (1, 0.5),
    "b": (0, 0.25),
    "running_mean": (0, 0.25),
    "running_var": (1, 0.25),
}


class Step(NamedTuple):
    """The loss and the gradients of a step; parameters and running statistics after it."""

    loss: float
    gradients: dict[str, Array]
    weights: dict[str, Array]


def uniform(name: str, *shape: int) -> Array:
    """Float64 numbers spread evenly over [-1, 1), others for every name.

    SplitMix64 (Steele, Lea and Flood 2014) of the seed ``crc32(name)``, its upper 53 bits.
    """
    z = np.arange(1, np.prod(shape, dtype=int) + 1, dtype=np.uint64)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(zlib.crc32(name.encode()))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    numbers: Array = (z >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1
    return numbers.reshape(shape)


def weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """The tensors a network starts from, by minispiral's names and in its layout."""
    start = {}
    for name, shape in shapes.items():
        kind = name.rpartition(".")[2]
        if kind == "w":  # variance 2 / fan_in, as `minispiral.nn.he_normal`
            kh, kw, big, small = shape
            fan_in = kh * kw * (small / 4 if "decoder" in name else big)
            middle, spread = 0.0, np.sqrt(6 / fan_in)
        else:
            middle, spread = VECTORS[kind]
        start[name] = middle + spread * uniform(name, *shape)
    return start


def batch(step: int, n: int, side: int) -> tuple[Array, NDArray[np.bool_]]:
    """The batch of a step: ``x (n, side, side, 3)`` in [-1, 1) and ``mask (n, side, side, 1)``.

    Rough surfaces of some brightness, blotches of several sizes and a dark line down each.
    """
    name = f"batch {step} "
    x = uniform(name + "grain", n, side, side, 3) * 0.25
    for size in (16, 64, 256):
        blotches = uniform(f"{name}{size}", n, -(-side // size), -(-side // size), 3) * 0.25
        x += blotches.repeat(size, 1).repeat(size, 2)[:, :side, :side]
    start, slope = uniform(name + "lines", 2, n, 1, 1, 1)
    rows, columns = np.ogrid[:side, :side]
    line = (side / 2) * (1 + start / 2) + slope / 4 * rows[..., None]
    mask = np.abs(columns[..., None] - line) < 1
    x[mask[..., 0]] = (x[mask[..., 0]] - 1) / 2
    return x, mask
