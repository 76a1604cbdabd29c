"""Checks of chapter 6: the parameters of a Spiral-Net, its wiring and its receptive fields."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.exercises import Wrong, exercise
from minispiral.exercises.arrays import expect, kind_of
from minispiral.kernels.arithmetic import sigmoid
from minispiral.networks import CONNECTIONS, PRESETS, SpiralNet
from minispiral.networks.table1 import DECODER_CHANNELS, ENCODER_CHANNELS

Array = NDArray[np.float64]


@exercise("6.1", function="parameters", difficulty=1)
def parameters(answer: Callable[..., Any]) -> None:
    """The parameters of a Spiral-Net."""
    rng = np.random.default_rng()
    cases = [((1,), "concat"), ((1, 1), "concat"), ((2, 3, 1), "concat")]
    cases += [(tuple(rng.integers(1, 4, 4).tolist()), connection) for connection in CONNECTIONS]
    for depths, connection in cases:
        network = SpiralNet(depths, connection, rng=rng)
        expected = sum(p.data.size for p in network.parameters())
        _check_count(answer, depths, connection, expected)
    _check_count(answer, PRESETS["increasing"], "concat", 41_625_942)


def _check_count(
    answer: Callable[..., Any], depths: tuple[int, ...], connection: str, expected: int
) -> None:
    call = f"parameters({depths}, {connection!r}) returned"
    result = answer(depths, connection)
    if not isinstance(result, int | float | np.number):
        raise Wrong(f"{call} {kind_of(result)}, expected a number")
    if result == expected:
        return
    wide = connection == "concat"
    last = (len(depths) if wide else 1) + 1
    seen = [3, *(k if wide else 1 for k in range(1, len(depths)))]
    layers = _layers(depths, seen)
    outputs = sum(co for _, co in layers)
    known = {
        expected + outputs: "counts a bias in front of batch norm, where there is none",
        expected + 2 * outputs: "counts batch norm's moments, which are not trained",
        expected - 2 * outputs: "forgets gamma and beta of batch norm",
        expected - outputs: "counts one number of batch norm for each channel: there are two",
        expected - last: "forgets the last layer",
        expected - 1: "forgets the bias of the last layer",
        expected + len(depths) + 1 - last: "gives the last layer all maps, whatever the connection",
        _count(_layers(depths, [3, *range(1, len(depths))])) + len(depths) + 1: (
            "counts as for 'concat'"
        ),
        _count(_layers(depths, [3] * len(depths))) + last: (
            "lets every module see the picture, but only the first does"
        ),
        _count(_layers(depths, [3 + k if k else 3 for k in range(len(depths))])) + last: (
            "lets every module see the picture beside the maps, but only the first does"
        ),
        _count(_layers(depths, seen, upside_down=True)) + last: (
            "runs through the decoders in the order of Table 1: the deepest comes first"
        ),
    }
    about = known.get(int(result))
    raise Wrong(f"{call} {result!r}, expected {expected}{f': it {about}' if about else ''}")


def _layers(
    depths: Sequence[int], seen: Sequence[int], upside_down: bool = False
) -> list[tuple[int, int]]:
    """Channels that go into each layer and come out, of modules that see so many."""
    found: list[tuple[int, int]] = []
    for depth, channels in zip(depths, seen, strict=True):
        up = DECODER_CHANNELS[:depth] if upside_down else DECODER_CHANNELS[:depth][::-1]
        found += pairwise([channels, *ENCODER_CHANNELS[:depth], *up])
    return found


def _count(layers: list[tuple[int, int]]) -> int:
    return sum(9 * ci * co + 2 * co for ci, co in layers)


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
            known = {
                name: _wired(x, modules, weights, bias, connection, seen_by)
                for name, seen_by in _MISTAKEN.items()
            } | {
                "is the probability: the logit is asked for": sigmoid(expected),
                "forgets the bias": expected - bias,
                "adds the bias to every map": expected + bias * (weights.sum() - 1),
                "adds the bias once for each channel": expected + bias * (weights.size - 1),
                "gives the weights to the maps from the last to the first": (
                    _seen(maps, connection) @ weights[::-1, np.newaxis] + bias
                ),
                "sums the maps without their weights": (
                    _seen(maps, connection).sum(axis=3, keepdims=True) + bias
                ),
            }
            expect(result, expected, call, known=known)


def _seen(maps: Array, connection: str) -> Array:
    """What the module after the maps (n, h, w, k) sees."""
    if connection == "concat":
        return maps
    return maps.sum(axis=3, keepdims=True) if connection == "sum" else maps[..., -1:]


_MISTAKEN: dict[str, Callable[[Array, str], Array]] = {
    "has the newest map first: m_1 comes first": lambda maps, connection: _seen(
        maps if connection != "concat" else maps[..., ::-1], connection
    ),
    "has the first map in the place of the newest": lambda maps, connection: _seen(
        maps if connection != "none" else maps[..., ::-1], connection
    ),
    "takes the newest map where 'sum' means all": lambda maps, connection: _seen(
        maps, "none" if connection == "sum" else connection
    ),
    "takes the last two maps where 'sum' means all": lambda maps, connection: _seen(
        maps[..., -2:] if connection == "sum" else maps, connection
    ),
    "takes the mean where 'sum' means the sum": lambda maps, connection: (
        _seen(maps, connection) / (maps.shape[3] if connection == "sum" else 1)
    ),
    "takes the sum where 'none' means the newest map": lambda maps, connection: _seen(
        maps, "sum" if connection == "none" else connection
    ),
}


def _wired(
    x: Array,
    modules: Sequence[_Module],
    weights: Array,
    bias: float,
    connection: str,
    seen_by: Callable[[Array, str], Array],
) -> Array:
    """The logits of a network in which each module sees so much of the maps before it."""
    maps = modules[0](x)
    for module in modules[1:]:
        maps = np.concatenate([maps, module(seen_by(maps, connection))], axis=3)
    y: Array = seen_by(maps, connection) @ weights[:, np.newaxis] + bias
    return y


@exercise("6.3", function="field", difficulty=2)
def field(answer: Callable[..., Any]) -> None:
    """The receptive field through several modules."""
    rng = np.random.default_rng()
    cases = [((1,), 1), ((2,), 1), ((1, 2), 2), ((3, 1, 2), 2), ((1, 2, 3, 4), 3)]
    for turn, (depths, k) in enumerate(3 * cases):
        p = int(rng.integers(240, 272))
        if turn < len(cases):
            p -= p % 8  # with two sources in every decoder different mistakes give different fields
        expected = _reached(p, depths[:k])
        result = answer(p, depths, k)
        try:
            right = tuple(result) == expected
        except TypeError:
            right = False
        if right:
            continue
        call = f"field({p}, {depths}, {k}) returned"
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise Wrong(f"{call} {kind_of(result)}, expected the pair (first, last)")
        known = {
            expected[::-1]: "the first pixel comes first",
            (expected[0], expected[1] + 1): "the last pixel itself belongs to the field",
            (expected[0], expected[1] - expected[0] + 1): "the last pixel, not how many they are",
            _followed(p, depths[:k]): "begin with module k and go back to the first",
            _followed(p, depths[k - 1 : k]): "what module k sees are maps, which saw more",
            _followed(p, depths[: k - 1][::-1]): "the field goes through module k, too",
            _followed(p, depths[::-1]): "modules behind the k-th have no part in it",
            _followed(p, depths[:k][::-1], one_source=True): (
                "an even output of a decoder has two sources"
            ),
            _followed(p, depths[:k][::-1], encoders_first=True): (
                "going back, one meets the decoders of a module before its encoders"
            ),
        }
        about = known.get(tuple(result))
        raise Wrong(f"{call} {result!r}, expected {expected}{f': {about}' if about else ''}")


def _followed(
    p: int, depths: Sequence[int], one_source: bool = False, encoders_first: bool = False
) -> tuple[int, int]:
    """The interval that a way back through modules of these depths, in this order, leads to."""
    a = b = p

    def decoders(a: int, b: int) -> tuple[int, int]:
        return a // 2 if one_source else -(-(a - 2) // 2), b // 2

    def encoders(a: int, b: int) -> tuple[int, int]:
        return 2 * a, 2 * b + 2

    for depth in depths:
        for layer in (encoders, decoders) if encoders_first else (decoders, encoders):
            for _ in range(depth):
                a, b = layer(a, b)
    return a, b


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
