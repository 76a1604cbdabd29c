"""Checks of chapter 6: the parameters of a Spiral-Net, its wiring and its receptive fields."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.exercises import Wrong, exercise
from minispiral.exercises.arrays import expect
from minispiral.networks import CONNECTIONS, PRESETS, SpiralNet

Array = NDArray[np.float64]


@exercise("6.1", function="parameters", difficulty=1)
def parameters(answer: Callable[..., Any]) -> None:
    """The parameters of a Spiral-Net."""
    rng = np.random.default_rng()
    cases = [((1,), "concat"), ((1, 1), "concat"), ((2, 3, 1), "concat")]
    cases += [(tuple(rng.integers(1, 5, 4).tolist()), connection) for connection in CONNECTIONS]
    for depths, connection in cases:
        network = SpiralNet(depths, connection, rng=rng)
        expected = sum(p.data.size for p in network.parameters())
        result = answer(depths, connection)
        if result != expected:
            raise Wrong(
                f"parameters({depths}, {connection!r}) returned {result!r}, expected {expected}"
            )
    result = answer(PRESETS["increasing"], "concat")
    if result != 41_625_942:
        raise Wrong(f"for the increasing order parameters returned {result!r}, expected 41625942")


class _Module:
    """A module whose map is a function of a mixture of its input's channels."""

    def __init__(self, number: int, mixture: Array) -> None:
        self.number, self.mixture = number, mixture
        self.calls = 0

    def __call__(self, x: Array) -> Array:
        self.calls += 1
        channels = len(self.mixture)
        if x.ndim != 4 or x.shape[3] != channels:
            raise Wrong(
                f"module {self.number} was called with an array of shape {x.shape}, expected "
                f"{channels} channels"
            )
        y: Array = np.square(x @ self.mixture + 0.5)
        return y


@exercise("6.2", function="logits", difficulty=1)
def logits(answer: Callable[..., Any]) -> None:
    """The wiring of a Spiral-Net."""
    rng = np.random.default_rng()
    for connection in CONNECTIONS:
        for count in (1, 2, 4):
            x = rng.standard_normal((2, 3, 5, 3))
            wide = connection == "concat"
            seen = [3] + [k if wide else 1 for k in range(1, count + 1)]  # including the last layer
            modules = [
                _Module(k, rng.standard_normal((c, 1))) for k, c in enumerate(seen[:-1], start=1)
            ]
            weights, bias = rng.standard_normal(seen[-1]), float(rng.standard_normal())
            maps = np.empty((*x.shape[:3], count))
            for k, module in enumerate(modules):
                maps[..., k : k + 1] = module(_seen(maps[..., :k], connection) if k else x)
                module.calls = 0
            expected = _seen(maps, connection) @ weights[:, np.newaxis] + bias
            call = f"logits(...) for {count} modules and {connection!r}"
            try:
                result = answer(x, modules, weights, bias, connection)
            except Wrong as wrong:
                raise Wrong(f"{call}: {wrong}") from None
            for module in modules:
                if module.calls != 1:
                    raise Wrong(
                        f"{call} called module {module.number} {module.calls} times, expected once"
                    )
            expect(result, expected, call)


def _seen(maps: Array, connection: str) -> Array:
    """What the module after the maps (n, h, w, k) sees."""
    if connection == "concat":
        return maps
    return maps.sum(axis=3, keepdims=True) if connection == "sum" else maps[..., -1:]


@exercise("6.3", function="field", difficulty=2)
def field(answer: Callable[..., Any]) -> None:
    """The receptive field through several modules."""
    rng = np.random.default_rng()
    for depths, k in [((1,), 1), ((2,), 1), ((1, 2), 2), ((3, 1, 2), 2), ((1, 2, 3, 4), 3)] * 3:
        p = int(rng.integers(240, 272))
        expected = _reached(p, depths[:k])
        result = answer(p, depths, k)
        try:
            right = tuple(result) == expected
        except TypeError:
            right = False
        if not right:
            raise Wrong(f"field({p}, {depths}, {k}) returned {result!r}, expected {expected}")


def _reached(p: int, depths: tuple[int, ...], side: int = 511) -> tuple[int, int]:
    """The first and last pixel that reach pixel ``p``, found by following every pixel."""
    reached = np.eye(side, dtype=bool)  # which pixels reach each value: (values, side)
    for depth in depths:
        for _ in range(depth):
            reached = reached[:-2:2] | reached[1:-1:2] | reached[2::2]
        for _ in range(depth):
            wider = np.zeros((2 * len(reached) + 1, side), bool)
            for tap in range(3):
                wider[tap : tap + 2 * len(reached) : 2] |= reached
            reached = wider
    pixels = np.flatnonzero(reached[p])
    return int(pixels[0]), int(pixels[-1])
