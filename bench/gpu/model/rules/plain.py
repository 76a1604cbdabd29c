"""Convolutions in the plainest form, ``conv2d_plain.cu``, and pooling."""

from bench.gpu.model.recording import Launch
from bench.gpu.model.rules.common import Rules, words
from bench.gpu.model.rules.loops import Rule, Turns


def _conv2d_weight_grad(launch: Launch) -> Rule:
    conv = launch["conv"]
    rows = conv["n"] * conv["oh"] / launch.grid[1]
    return Rule([Turns(f"LDG.{words(launch)}", 2, conv["ow"], (rows,), which=-1)])


def _plain(launch: Launch) -> Rule:
    """The sums over channels of a tap are unrolled: with few channels, in the code around."""
    conv = launch["conv"]
    inner = conv["small"] if "input_grad" in launch.kernel.expression else conv["big"]
    around = conv["kw"], conv["kh"]
    return Rule([Turns(f"LDG.{words(launch)}", 2, inner, around, which=-1)], others=0)


RULES: Rules = {
    "conv2d": _plain,
    "conv2d_input_grad": _plain,
    "conv2d_weight_grad": _conv2d_weight_grad,
    "max_pool2d": lambda launch: Rule(others=launch["size"]),
    "max_pool2d_grad": lambda launch: Rule(others=-(-launch["size"] // launch["stride"])),
}
