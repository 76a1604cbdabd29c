"""Every public operation, layer, loss and network of the library, each with a way to check it.

A check's name begins with the public name of what it checks. A test holds this list complete: an
operation, layer, loss or network without a check fails the suite. Functions with a
kink are checked by central differences, which know of kinks, all others by complex steps; whole
networks too, for there some unit is always near its kink, and a complex step crosses none.
"""

import operator
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral import ops
from minispiral.gradcheck.comparison import Method
from minispiral.gradcheck.protocol import gradcheck
from minispiral.gradcheck.pseudo import check_pseudo_f1
from minispiral.gradcheck.report import Report
from minispiral.kernels import reference
from minispiral.losses import LOSSES
from minispiral.networks import Network, SpiralNet, build
from minispiral.networks.spiral import EncoderDecoder
from minispiral.nn import BatchNorm, Conv2d, ConvNormReLU
from minispiral.tensor import Tensor

Array = NDArray[Any]
Generator = np.random.Generator
Arguments = dict[str, Any]

EXACTLY: Method = "complex step"
AROUND_KINKS: Method = "differences"
EPS = BatchNorm.eps


@dataclass(frozen=True)
class Check:
    """One case of what is checked; ``arguments`` makes those of `gradcheck` from random numbers."""

    name: str
    arguments: Callable[[Generator], Arguments]

    @property
    def subject(self) -> str:
        """The public name of what is checked."""
        return self.name.replace(",", " ").split()[0]

    def run(self, seed: int = 0, **options: Any) -> Report:
        """Check this case on random numbers of its own, whichever others are checked."""
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        arguments = {"method": EXACTLY, **self.arguments(rng), **options}
        return gradcheck(name=self.name, seed=int(rng.integers(2**32)), **arguments)


class OwnRules(Check):
    """A pseudo-gradient, which has rules of its own."""

    def run(self, seed: int = 0, **options: Any) -> Report:
        return check_pseudo_f1(name=self.name, seed=seed)


def numbers(rng: Generator, *shape: int) -> Array:
    """Of either sign and between 0.2 and 2 in size."""
    sizes: Array = rng.uniform(0.2, 2, shape) * rng.choice([-1.0, 1.0], shape)
    return sizes


def shaken(module: Any, rng: Generator) -> Any:
    """The module in float64, with no parameter at a special value and running moments of a past."""
    module.astype(np.float64)
    for name, p in module.named_parameters():
        p.data = p.data + rng.normal(0.3 if name.endswith("beta") else 0, 0.1, p.shape)
    for _, part in module.modules():
        if isinstance(part, BatchNorm):
            part.running_mean = rng.normal(0, 0.5, part.running_mean.shape)
            part.running_var = rng.uniform(0.5, 2, part.running_var.shape)
    return module


# Operations


def operations() -> Iterator[Check]:
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((3, 4), (3, 4)),
        ((2, 3, 4), (3, 1)),
        ((1, 4), (5, 1)),
        ((3,), ()),
    ]
    for name, function in {
        "add": operator.add,
        "subtract": operator.sub,
        "multiply": operator.mul,
        "divide": operator.truediv,
    }.items():
        for a, b in shapes:
            yield Check(f"{name} {a} {b}", partial(_arithmetic, function, a, b))
    yield Check("negate", partial(_elementwise, operator.neg, operator.neg))
    yield Check("sigmoid", partial(_elementwise, ops.sigmoid, reference.sigmoid))
    yield Check("log", partial(_elementwise, ops.log, np.log, positive=True))
    yield Check("relu", _relu)
    for axis in (None, 0, (0, 2), -1):
        yield Check(f"sum over {axis}", partial(_reduction, ops.sum, np.sum, axis))
        yield Check(f"mean over {axis}", partial(_reduction, ops.mean, np.mean, axis))
    yield Check("reshape", _reshape)
    for axis in (-1, 1):
        yield Check(f"concatenate along {axis}", partial(_concatenate, axis))
    for kernel_hw, stride, pad, hw in (
        ((3, 3), 2, 0, (7, 9)),
        ((3, 3), 2, 0, (8, 7)),  # with a remainder
        ((2, 4), 1, 1, (5, 6)),
        ((3, 2), 3, 1, (7, 6)),
        ((1, 1), 2, 0, (5, 6)),  # pixels that no tap reaches
    ):
        kh, kw = kernel_hw
        case = f"{kh}x{kw}, stride {stride}, pad {pad}, {hw[0]}x{hw[1]}"
        for name, transpose in (("conv2d", False), ("conv_transpose2d", True)):
            yield Check(
                f"{name} {case}", partial(_convolution, transpose, kernel_hw, stride, pad, hw)
            )
    for constant in (False, True):
        moments = "given moments" if constant else "own moments"
        yield Check(f"batch_norm, {moments}", partial(_batch_norm, constant))
        for transpose in (False, True):
            kind = " transposed" if transpose else ""
            yield Check(
                f"conv_norm_relu{kind}, {moments}", partial(_conv_norm_relu, transpose, constant)
            )
    for size, stride, hw in ((2, 2, (6, 8)), (2, 2, (7, 5)), (3, 2, (7, 8)), (2, 3, (8, 7))):
        case = f"{size}x{size}, stride {stride}, {hw[0]}x{hw[1]}"
        yield Check(f"max_pool2d {case}", partial(_max_pool, size, stride, hw))


def _arithmetic(
    function: Callable[[Any, Any], Any], a: tuple[int, ...], b: tuple[int, ...], rng: Generator
) -> Arguments:
    inputs = {"a": numbers(rng, *a), "b": numbers(rng, *b)}
    return {"function": function, "inputs": inputs, "oracle": function}


def _elementwise(
    function: Callable[[Any], Tensor],
    oracle: Callable[[Array], Array],
    rng: Generator,
    positive: bool = False,
) -> Arguments:
    x = numbers(rng, 3, 7)
    return {"function": function, "inputs": {"x": abs(x) if positive else x}, "oracle": oracle}


def _relu(rng: Generator) -> Arguments:
    return {
        "function": ops.relu,
        "inputs": {"x": rng.normal(0, 0.01, (3, 7))},  # near the kink, to have it stepped around
        "oracle": lambda x: np.where(x > 0, x, 0),
        "method": AROUND_KINKS,
    }


def _reduction(
    function: Callable[..., Tensor], oracle: Callable[..., Array], axis: Any, rng: Generator
) -> Arguments:
    keepdims = bool(rng.integers(2))
    return {
        "function": lambda x: function(x, axis, keepdims),
        "inputs": {"x": numbers(rng, 3, 4, 5)},
        "oracle": lambda x: oracle(x, axis=axis, keepdims=keepdims),
    }


def _reshape(rng: Generator) -> Arguments:
    return {
        "function": lambda x: ops.reshape(x, (3, 4, 1)),
        "inputs": {"x": numbers(rng, 2, 6)},
        "oracle": lambda x: np.reshape(x, (3, 4, 1)),
    }


def _concatenate(axis: int, rng: Generator) -> Arguments:
    shapes = [(2, 3, 4), (2, 3, 4), (2, 3, 4)]
    shapes[1] = (2, 3, 1) if axis == -1 else (2, 5, 4)
    return {
        "function": lambda a, b, c: ops.concatenate([a, b, c, a], axis),
        "inputs": dict(zip("abc", (numbers(rng, *shape) for shape in shapes), strict=True)),
        "oracle": lambda a, b, c: np.concatenate([a, b, c, a], axis),
    }


def _convolved(transpose: bool, stride: int, pad: int, x: Array, w: Array) -> Array:
    """By the plainest loops there are."""
    if not transpose:
        return np.asarray(reference.conv2d(x, w, stride, pad))
    out_hw = [
        stride * (n - 1) + k - 2 * pad for n, k in zip(x.shape[1:3], w.shape[:2], strict=True)
    ]
    return np.asarray(reference.conv2d_input_grad(x, w, out_hw, stride, pad))


def _convolution(
    transpose: bool,
    kernel_hw: tuple[int, int],
    stride: int,
    pad: int,
    hw: tuple[int, int],
    rng: Generator,
) -> Arguments:
    function = ops.conv_transpose2d if transpose else ops.conv2d
    big, small = 3, 2
    return {
        "function": lambda x, w: function(x, w, stride, pad),
        "inputs": {
            "x": numbers(rng, 2, *hw, small if transpose else big),
            "w": numbers(rng, *kernel_hw, big, small),
        },
        "oracle": partial(_convolved, transpose, stride, pad),
    }


def _normalized(x: Array, gamma: Array, beta: Array, moments: tuple[Array, Array] | None) -> Array:
    axes = tuple(range(x.ndim - 1))
    mean, var = (x.mean(axes), x.var(axes)) if moments is None else moments
    y: Array = gamma * (x - mean) / np.sqrt(var + EPS) + beta
    return y


def _moments(constant: bool, c: int, rng: Generator) -> tuple[Array, Array] | None:
    return (rng.normal(size=c), rng.uniform(0.5, 2, c)) if constant else None


def _batch_norm(constant: bool, rng: Generator) -> Arguments:
    c = 4
    moments = _moments(constant, c, rng)
    inputs = {"x": numbers(rng, 2, 3, 5, c), "gamma": numbers(rng, c), "beta": numbers(rng, c)}
    return {
        "function": (
            lambda x, gamma, beta: (
                ops.BatchNorm(EPS, moments)(x, gamma, beta)
                if constant
                else ops.batch_norm(x, gamma, beta, EPS)
            )
        ),
        "inputs": inputs,
        "oracle": lambda x, gamma, beta: _normalized(x, gamma, beta, moments),
    }


def _conv_norm_relu(transpose: bool, constant: bool, rng: Generator) -> Arguments:
    big, small, stride, pad = 3, 4, 2, 1
    co = big if transpose else small
    moments = _moments(constant, co, rng)

    def oracle(x: Array, w: Array, gamma: Array, beta: Array) -> Array:
        y = _convolved(transpose, stride, pad, x, w)
        return np.maximum(_normalized(y, gamma, beta, moments), 0)

    return {
        "function": lambda *inputs: ops.ConvNormReLU(EPS, stride, pad, transpose, moments)(*inputs),
        "inputs": {
            "x": numbers(rng, 3, 7, 8, small if transpose else big),
            "w": numbers(rng, 3, 3, big, small),
            "gamma": numbers(rng, co),
            "beta": numbers(rng, co),
        },
        "oracle": oracle,
        "method": AROUND_KINKS,
    }


def _max_pool(size: int, stride: int, hw: tuple[int, int], rng: Generator) -> Arguments:
    return {
        "function": lambda x: ops.max_pool2d(x, size, stride),
        "inputs": {"x": numbers(rng, 2, *hw, 3)},
        "oracle": lambda x: reference.max_pool2d(x, size, stride)[0],
        "method": AROUND_KINKS,
    }


# Layers, with their parameters


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
    yield Check("EncoderDecoder, depth 2", _encoder_decoder)


def _conv_layer(transpose: bool, bias: bool, rng: Generator) -> Arguments:
    layer = shaken(Conv2d(3, 4, 3, rng, 2, 1, transpose, bias), rng)

    def oracle(x: Array) -> Array:
        y = _convolved(transpose, 2, 1, x, layer.w.data)
        return y + layer.b.data if bias else y

    return {"function": layer, "inputs": {"x": numbers(rng, 2, 6, 7, 3)}, "oracle": oracle}


def _norm_layer(training: bool, rng: Generator) -> Arguments:
    layer = shaken(BatchNorm(4), rng)
    layer.train() if training else layer.eval()

    def oracle(x: Array) -> Array:
        running = None if training else (layer.running_mean, layer.running_var)
        return _normalized(x, layer.gamma.data, layer.beta.data, running)

    return {"function": layer, "inputs": {"x": numbers(rng, 3, 4, 5, 4)}, "oracle": oracle}


def _block(transpose: bool, fused: bool, training: bool, rng: Generator) -> Arguments:
    block = shaken(ConvNormReLU(3, 4, rng, transpose), rng)
    block.fused = fused
    block.train() if training else block.eval()

    def oracle(x: Array) -> Array:
        norm = block.norm
        running = None if training else (norm.running_mean, norm.running_var)
        y = _convolved(transpose, 2, 0, x, block.conv.w.data)
        return np.maximum(_normalized(y, norm.gamma.data, norm.beta.data, running), 0)

    inputs = {"x": numbers(rng, 3, 7, 9, 3)}
    return {"function": block, "inputs": inputs, "oracle": oracle, "method": AROUND_KINKS}


def _encoder_decoder(rng: Generator) -> Arguments:
    module = shaken(EncoderDecoder(3, 2, 0.1, rng), rng)
    return {"function": module, "inputs": {"x": rng.uniform(-1, 1, (2, 11, 15, 3))}}


# Losses


def losses() -> Iterator[Check]:
    oracles: dict[str, Callable[..., float]] = {
        "f1": lambda x, mask: reference.f1_loss(reference.f1_sums(x, mask)),
        "pseudo-f1": lambda x, mask: reference.f1_loss(reference.f1_sums(x, mask)),
        "cross-entropy": reference.cross_entropy,
        "balanced": reference.balanced,
        "focal": partial(reference.focal, alpha=0.25, gamma=2.0),
        "linear": reference.linear,
    }
    for name, loss in LOSSES.items():
        yield Check(name, partial(_loss, loss, oracles[name]))
    yield OwnRules("pseudo-f1 by its own rules", _no_arguments)


def _loss(loss: Callable[..., Tensor], oracle: Callable[..., float], rng: Generator) -> Arguments:
    x = rng.normal(0, 3, (2, 7, 5, 1))
    mask = rng.random(x.shape) < 0.2
    mask[0, 0, 0] = True
    return {
        "function": lambda logits: loss(logits, mask),
        "inputs": {"logits": x},
        "oracle": lambda logits: np.float64(oracle(logits, mask)),
    }


def _no_arguments(rng: Generator) -> Arguments:
    return {}


# Networks, with all their parameters


def networks() -> Iterator[Check]:
    for connection in ("concat", "sum", "none"):
        yield Check(f"spiral 1-3, {connection}", partial(_spiral, (1, 2, 3), connection))
    yield Check("spiral 1-3, evaluation", partial(_spiral, (1, 2, 3), "concat", training=False))
    yield Check("spiral 2, by differences", partial(_spiral, (2,), "concat", method=AROUND_KINKS))
    yield Check("spiral 1-2 and cross-entropy", _under_a_loss)
    yield Check("unet, depth 3", partial(_small, "unet", (3,)))
    yield Check("wide-unet, depth 2", partial(_small, "wide-unet", (2,)))
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


def _under_a_loss(rng: Generator) -> Arguments:
    network = shaken(SpiralNet((1, 2), width=0.05, rng=rng), rng)
    inputs = _pictures(network, rng)
    mask = rng.random((*inputs["x"].shape[:3], 1)) < 0.2
    return {
        "function": lambda x: LOSSES["cross-entropy"](network(x), mask),
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


CHECKS = (*operations(), *layers(), *losses(), *networks())
