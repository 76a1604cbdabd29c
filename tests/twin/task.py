"""What both sides of the twin are given: sizes, weights and batches.

Weights and batches are functions of integers, computed by operations that IEEE 754 rounds in one
way only. So they have the same bits with any version of any library, on any machine.
"""

import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minispiral.networks import Network, build

Array = NDArray[Any]


class Task(NamedTuple):
    """A network and how it is trained."""

    network: str
    depths: tuple[int, ...]
    width: float
    batch: int = 4  # the number of values per channel that batch norm has at the 1 x 1 bottom
    side: int = 255
    steps: int = 20
    lr: float = 1e-3


TASKS = {
    task.network: task
    for task in (Task("spiral", (1, 2, 3, 4, 5, 6, 7), 1 / 16), Task("unet", (7,), 1 / 16))
}

# Where each vector starts: its mean, and how far its elements spread to either side. With beta
# near 0 the 56 consecutive layers of Spiral-Net would amplify rounding ten-thousandfold. With beta
# near 1 a ReLU cuts one value in six, and a hundredfold is left.
VECTORS = {
    "gamma": (1, 0.25),
    "beta": (1, 0.5),
    "b": (0, 0.25),
    "running_mean": (0, 0.25),
    "running_var": (1, 0.25),
}


class Step(NamedTuple):
    """The loss and the gradients of a step; weights and running statistics after it."""

    loss: float
    gradients: dict[str, Array]
    weights: dict[str, Array]


def network_of(task: Task) -> Network:
    """minispiral's network; its weights are still to be replaced by those of `start`."""
    rng = np.random.default_rng(0)
    return build(task.network, depths=task.depths, width=task.width, rng=rng)


def start(task: Task) -> dict[str, Array]:
    """The weights and running statistics to start from, named and laid out as minispiral's."""
    found = {}
    for name, array in network_of(task).state().items():
        kind = name.rpartition(".")[2]
        if kind == "w":  # variance 2 / fan_in, as in `minispiral.nn.he_normal`
            kh, kw, big, small = array.shape
            fan_in = kh * kw * (small / 4 if "decoder" in name else big)
            mean, spread = 0.0, np.sqrt(6 / fan_in)
        else:
            mean, spread = VECTORS[kind]
        found[name] = mean + spread * uniform(name, *array.shape)
    return found


def uniform(name: str, *shape: int) -> Array:
    """Float64 numbers uniform over [-1, 1), different for every name.

    SplitMix64 (Steele, Lea and Flood 2014) with the seed ``crc32(name)``, its upper 53 bits.
    """
    z = np.arange(1, np.prod(shape, dtype=int) + 1, dtype=np.uint64)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(zlib.crc32(name.encode()))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    numbers: Array = (z >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1
    return numbers.reshape(shape)


def batch(step: int, n: int, side: int) -> tuple[Array, NDArray[np.bool_]]:
    """The batch of a step: ``x (n, side, side, 3)`` in [-1, 1) and ``mask (n, side, side, 1)``.

    Each picture is a rough surface of some brightness with blotches of several sizes and a dark
    line across it.
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
