"""Convolutions of few channels, ``conv2d_few.cu``."""

from bench.gpu.model.recording import Launch
from bench.gpu.model.rules.common import Rules, tree
from bench.gpu.model.rules.loops import Rule, Turns


def _conv2d_few(launch: Launch) -> Rule:
    conv = launch["conv"]
    terms = conv["kh"] * conv["kw"] * conv["big"]
    return Rule(
        [
            Turns("STS.32", 1, terms / 2, which=0),
            Turns("STS.32", 1, terms / 4, which=1),
            Turns("FFMA", 32, terms),
        ]
    )


def _conv2d_input_grad_few(launch: Launch) -> Rule:
    """Channels in multiples of four; of taps that reach a pixel there are (k / stride)^2."""
    conv = launch["conv"]
    s = conv["stride"]
    cells = conv["n"] * -(-conv["h"] // s) * -(-conv["w"] // s) / (launch.grid[0] * launch.block[1])
    around = conv["kw"] / s, conv["kh"] / s, s * s, cells
    if conv["small"] % 4 == 0:
        loads = Turns("LDG.128", conv["big"] + 1, conv["small"] / 32, around)
    else:
        loads = Turns("LDG.32", conv["big"] + 1, conv["small"] / 8, around, which=-1)
    return Rule([loads, tree(launch)], others=0)


def _conv2d_weight_grad_few(launch: Launch) -> Rule:
    conv = launch["conv"]
    steps = conv["n"] * conv["oh"] * conv["ow"] / launch.grid[1] / 32
    return Rule(
        [Turns("STS.32", 2, 8, (steps,)), Turns("FFMA", 16, 32, (steps,))],
    )


RULES: Rules = {
    "conv2d_few": _conv2d_few,
    "conv2d_input_grad_few": _conv2d_input_grad_few,
    "conv2d_weight_grad_few": _conv2d_weight_grad_few,
}
