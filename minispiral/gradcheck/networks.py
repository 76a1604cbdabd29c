"""Cases of every layer and every network, with all their parameters."""

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from minispiral import ops
from minispiral.gradcheck.check import (
    AROUND_KINKS,
    Arguments,
    Array,
    Check,
    Generator,
    numbers,
    shaken,
)
from minispiral.gradcheck.operations import convolved, normalized
from minispiral.losses import cross_entropy
from minispiral.networks import CONNECTIONS, NETWORKS, Network, SpiralNet, build, parse_depths
from minispiral.networks.hed import SideOutput
from minispiral.networks.spiral import EncoderDecoder
from minispiral.nn import BatchNorm, Conv2d, ConvNormReLU, ConvReLU

CHOICES: dict[str, tuple[str | None, ...]] = {  # of the options of `build`, where they apply
    "depths": ("1-3",),
    "connection": CONNECTIONS,
    "pretrained": (None, "vgg16"),  # vgg16_bn combines the two
}


def layers() -> Iterator[Check]:
    for transpose in (False, True):
        kind = " transposed" if transpose else ""
        for bias in (True, False):
            yield Check(
                f"Conv2d{kind}{' with bias' if bias else ''}", partial(_conv_layer, transpose, bias)
            )
    for training in (True, False):
        mode = "training" if training else "evaluation"
        yield Check(f"BatchNorm, {mode}", partial(_norm_layer, training))
        for transpose in (False, True):
            for fused in (True, False):
                kind = f"{'fused' if fused else 'plain'}{' transposed' if transpose else ''}"
                yield Check(
                    f"ConvNormReLU {kind}, {mode}", partial(_block, transpose, fused, training)
                )
    yield Check("ConvReLU", _conv_relu)
    yield Check("EncoderDecoder, depth 2", _encoder_decoder)
    for factor in (1, 4):
        yield Check(f"SideOutput, factor {factor}", partial(_side_output, factor))


def _conv_layer(transpose: bool, bias: bool, rng: Generator) -> Arguments:
    layer = shaken(Conv2d(3, 4, 3, rng, 2, 1, transpose, bias), rng)

    def oracle(x: Array) -> Array:
        y = convolved(transpose, 2, 1, x, layer.w.data)
        return y + layer.b.data if bias else y

    return {"function": layer, "inputs": {"x": numbers(rng, 2, 6, 7, 3)}, "oracle": oracle}


def _norm_layer(training: bool, rng: Generator) -> Arguments:
    layer = shaken(BatchNorm(4), rng)
    layer.train() if training else layer.eval()

    def oracle(x: Array) -> Array:
        running = None if training else (layer.running_mean, layer.running_var)
        return normalized(x, layer.gamma.data, layer.beta.data, running)

    return {"function": layer, "inputs": {"x": numbers(rng, 3, 4, 5, 4)}, "oracle": oracle}


def _block(transpose: bool, fused: bool, training: bool, rng: Generator) -> Arguments:
    block = shaken(ConvNormReLU(3, 4, rng, transpose), rng)
    block.fused = fused
    block.train() if training else block.eval()

    def oracle(x: Array) -> Array:
        norm = block.norm
        running = None if training else (norm.running_mean, norm.running_var)
        y = convolved(transpose, 2, 0, x, block.conv.w.data)
        return np.maximum(normalized(y, norm.gamma.data, norm.beta.data, running), 0)

    inputs = {"x": numbers(rng, 3, 7, 9, 3)}
    return {"function": block, "inputs": inputs, "oracle": oracle, "method": AROUND_KINKS}


def _conv_relu(rng: Generator) -> Arguments:
    layer = shaken(ConvReLU(3, 4, rng, size=3, pad=1), rng)

    def oracle(x: Array) -> Array:
        y: Array = convolved(False, 1, 1, x, layer.conv.w.data) + layer.conv.b.data
        return np.maximum(y, 0)

    inputs = {"x": numbers(rng, 2, 5, 6, 3)}
    return {"function": layer, "inputs": inputs, "oracle": oracle, "method": AROUND_KINKS}


def _encoder_decoder(rng: Generator) -> Arguments:
    module = shaken(EncoderDecoder(3, 2, 0.1, rng), rng)
    return {"function": module, "inputs": {"x": rng.uniform(-1, 1, (2, 11, 15, 3))}}


def _side_output(factor: int, rng: Generator) -> Arguments:
    layer = shaken(SideOutput(3, factor, rng), rng)

    def oracle(x: Array) -> Array:
        y: Array = convolved(False, 1, 0, x, layer.w.data) + layer.b.data
        for axis in (1, 2):
            centres = factor * np.arange(y.shape[axis]) + (factor - 1) / 2
            pixels = np.arange(factor * (y.shape[axis] + 1) - 1)
            y = np.apply_along_axis(partial(np.interp, pixels, centres), axis, y)
        return y

    return {"function": layer, "inputs": {"x": numbers(rng, 2, 2, 3, 3)}, "oracle": oracle}


def networks() -> Iterator[Check]:
    for name, cls in NETWORKS.items():
        choices = {key: values for key, values in CHOICES.items() if key not in cls.inapplicable}
        for values in product(*choices.values()):
            title = f"{name} {', '.join(filter(None, values))}".rstrip()
            yield Check(title, partial(_all_outputs, name, dict(zip(choices, values, strict=True))))
    yield Check("spiral 1-3, evaluation", _evaluation)
    yield Check("spiral 2, by differences", _by_differences)
    yield Check("spiral 1-2 and cross-entropy", _under_a_loss)
    for name in ("spiral", "unet"):
        yield Check(f"{name} 1-7, side 255", partial(_full, name))


def _all_outputs(name: str, options: dict[str, Any], rng: Generator) -> Arguments:
    if "depths" in options:
        options = {**options, "depths": parse_depths(options["depths"])}
    network = shaken(build(name, **options, width=0.03, rng=rng), rng)
    return {
        "function": lambda x: ops.concatenate(network.outputs(x)),
        "inputs": _pictures(network, rng),
        "module": network,
    }


def _evaluation(rng: Generator) -> Arguments:
    network = shaken(SpiralNet((1, 2, 3), width=0.05, rng=rng), rng).eval()
    return {"function": network, "inputs": _pictures(network, rng)}


def _by_differences(rng: Generator) -> Arguments:
    network = shaken(SpiralNet((2,), width=0.05, rng=rng), rng)
    return {"function": network, "inputs": _pictures(network, rng), "method": AROUND_KINKS}


def _under_a_loss(rng: Generator) -> Arguments:
    network = shaken(SpiralNet((1, 2), width=0.05, rng=rng), rng)
    inputs = _pictures(network, rng)
    mask = rng.random((*inputs["x"].shape[:3], 1)) < 0.2
    return {
        "function": lambda x: cross_entropy(network(x), mask),
        "inputs": inputs,
        "module": network,
    }


def _full(name: str, rng: Generator) -> Arguments:
    """All seven depths on pictures of 255 x 255, along ten joint directions of all parameters."""
    network = shaken(build(name, width=0.06, rng=rng), rng)
    inputs = _pictures(network, rng)
    return {
        "function": network,
        "inputs": inputs,
        "directions": 10,
        "jointly": True,
        "elements": 24,
    }


def _pictures(network: Network, rng: Generator) -> dict[str, Array]:
    """Three, so that batch norm has three values where the picture has shrunk to one pixel."""
    side = 2 * network.unit - 1
    return {"x": rng.uniform(-1, 1, (3, side, side, 3))}
