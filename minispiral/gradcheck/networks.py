"""Cases of every layer and every network, with all their parameters."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from minispiral import ops
from minispiral.gradcheck.check import (
    AROUND_KINKS,
    EXACTLY,
    Arguments,
    Array,
    Check,
    Generator,
    numbers,
    shaken,
)
from minispiral.gradcheck.comparison import Method
from minispiral.gradcheck.operations import convolved, normalized
from minispiral.losses import cross_entropy
from minispiral.networks import Network, SpiralNet, build
from minispiral.networks.spiral import EncoderDecoder
from minispiral.nn import BatchNorm, Conv2d, ConvNormReLU, ConvReLU


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


def networks() -> Iterator[Check]:
    for connection in ("concat", "sum", "none"):
        yield Check(f"spiral 1-3, {connection}", partial(_spiral, (1, 2, 3), connection))
    yield Check("spiral 1-3, evaluation", partial(_spiral, (1, 2, 3), "concat", training=False))
    yield Check("spiral 2, by differences", partial(_spiral, (2,), "concat", method=AROUND_KINKS))
    yield Check("spiral 1-2 and cross-entropy", _under_a_loss)
    yield Check("unet, depth 3", partial(_small, "unet", (3,)))
    yield Check("wide-unet, depth 2", partial(_small, "wide-unet", (2,)))
    for pretrained in (None, "vgg16"):
        kind = "" if pretrained is None else f" for {pretrained}"
        yield Check(f"hed{kind}, all outputs", partial(_hed, pretrained))
    for name in ("spiral", "unet"):
        yield Check(f"{name} 1-7, side 255", partial(_full, name))


def _spiral(
    depths: tuple[int, ...],
    connection: str,
    rng: Generator,
    training: bool = True,
    method: Method = EXACTLY,
) -> Arguments:
    network = shaken(SpiralNet(depths, connection, 0.05, rng=rng), rng)
    network.train() if training else network.eval()
    return {"function": network, "inputs": _pictures(network, rng), "method": method}


def _small(name: str, depths: tuple[int, ...], rng: Generator) -> Arguments:
    network = shaken(build(name, depths=depths, width=0.05, rng=rng), rng)
    return {"function": network, "inputs": _pictures(network, rng)}


def _hed(pretrained: str | None, rng: Generator) -> Arguments:
    network = shaken(build("hed", width=0.03, pretrained=pretrained, rng=rng), rng)
    return {
        "function": lambda x: ops.concatenate(network.outputs(x)),
        "inputs": _pictures(network, rng),
        "module": network,
    }


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
    """All seven depths on pictures of 255 x 255, along ten directions of all parameters at once."""
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
    """Three, so that batch norm has a few values at the bottom, where a picture is one pixel."""
    side = 2 * network.unit - 1
    return {"x": rng.uniform(-1, 1, (3, side, side, 3))}
