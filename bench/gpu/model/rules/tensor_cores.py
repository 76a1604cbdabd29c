"""Convolutions on tensor cores, ``conv2d_mma.cu``."""

from bench.gpu.model.recording import Launch
from bench.gpu.model.rules.common import Rules
from bench.gpu.model.rules.loops import Rule, Turns
from minispiral.kernels.cuda.conv2d_mma import TERMS, TILINGS


def _mma(launch: Launch, steps: float, others: float) -> Rule:
    tiling = launch.kernel.expression.partition("<")[2].rstrip(">").partition(",")[0]
    tile = TILINGS[tiling].rows * TILINGS[tiling].columns
    products = tile * TERMS / (16 * 8 * 8) / (launch.kernel.threads / 32)
    products *= 3 if "Precise" in tiling else 1
    return Rule([Turns("HMMA", products, steps / launch.grid[2])], others)


def _over_taps(launch: Launch, taps: float, channels: int) -> Rule:
    """Others: the taps to which a step comes."""
    if "Narrow" in launch.kernel.expression:
        channels = -(-channels // TERMS) * TERMS
    return _mma(launch, taps * channels / TERMS, TERMS / channels)


def _conv2d_mma(launch: Launch) -> Rule:
    conv = launch["conv"]
    return _over_taps(launch, conv["kh"] * conv["kw"], conv["big"])


def _conv2d_input_grad_mma(launch: Launch) -> Rule:
    """Classes of pixels have different numbers of taps: a pixel has their mean."""
    conv = launch["conv"]
    taps = conv["kh"] * conv["kw"] / conv["stride"] ** 2
    return _over_taps(launch, taps, conv["small"])


def _conv2d_weight_grad_mma(launch: Launch) -> Rule:
    conv = launch["conv"]
    windows = conv["n"] * conv["oh"] * conv["ow"]
    return _mma(launch, -(-windows // TERMS), 1)


RULES: Rules = {
    "conv2d_mma": _conv2d_mma,
    "conv2d_input_grad_mma": _conv2d_input_grad_mma,
    "conv2d_weight_grad_mma": _conv2d_weight_grad_mma,
}
