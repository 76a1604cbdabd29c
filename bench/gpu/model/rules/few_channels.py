"""Convolutions of few channels, ``conv2d_few*.cu`` and ``conv2d_pointwise.cu``."""

from math import ceil

from bench.gpu.model.recording import Launch
from bench.gpu.model.rules.common import Rules, tree
from bench.gpu.model.rules.loops import Rule, Turns


def _window(launch: Launch, *around: float) -> list[Turns]:
    """A window is gathered term by term where the kernel may have any size."""
    conv = launch["conv"]
    taps = conv["kw"], conv["kh"], *around
    return [] if _form(launch) else [Turns("STS.32", 1, conv["big"], taps, which=-1)]


def _form(launch: Launch) -> int:
    """The template argument ``big``: 0 for any number of channels and any kernel."""
    return int(launch.kernel.expression.partition("<")[2].rstrip(">").partition(",")[0])


def _conv2d_few(launch: Launch) -> Rule:
    conv = launch["conv"]
    terms = conv["kh"] * conv["kw"] * conv["big"]
    weights = Turns("STS.128", 1, terms / 16, optional=True)
    return Rule([*_window(launch), weights, Turns("FFMA", 64, terms)])


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


def _conv2d_input_grad_few_3x3(launch: Launch) -> Rule:
    """Four threads compute four cells of 2 x 2 pixels, by 16 channels of ten pixels of gy."""
    conv = launch["conv"]
    weights = 9 * conv["big"] * conv["small"]
    vectors = 2 if launch["normalized"] else 0  # scale and shift
    groups = conv["n"] * ceil(conv["h"] / 2) * ceil(conv["w"] / 8)
    around = (groups / (launch.grid[0] * launch.kernel.threads / 4),)
    return Rule(
        [
            Turns("STS.128", 1, weights / 4 / launch.kernel.threads),
            Turns("LDG.128", 10 + vectors, conv["small"] / 16, around, which=-1),
            tree(launch),
        ],
        others=0,
    )


def _conv2d_weight_grad_few(launch: Launch) -> Rule:
    """Steps of 256 pixels, which 4, 8 or 16 threads share."""
    conv, form = launch["conv"], _form(launch)
    steps = conv["n"] * conv["oh"] * conv["ow"] / launch.grid[1] / 256
    if form == 0:
        products = 64 + 4 * ("true" in launch.kernel.expression)
        return Rule([*_window(launch, steps), Turns("FFMA", products, 256 / 4, (steps,))])
    chunks, lanes = (1 if form < 5 else 2), (16 if form == 1 else 8)
    return Rule([Turns("LDG.128", chunks, 256 / lanes, (steps,))])


def _conv2d_weight_grad_pointwise(launch: Launch) -> Rule:
    each = launch["parts"][-1] + 1
    return Rule([Turns("LDG.32", each, launch["pixels"] / (launch.grid[1] * launch.block[0]))])


RULES: Rules = {
    "conv2d_pointwise": lambda launch: Rule(),
    "conv2d_input_grad_pointwise": lambda launch: Rule(),
    "conv2d_weight_grad_pointwise": _conv2d_weight_grad_pointwise,
    "conv2d_input_grad_few_3x3": _conv2d_input_grad_few_3x3,
    "conv2d_few": _conv2d_few,
    "conv2d_input_grad_few": _conv2d_input_grad_few,
    "conv2d_weight_grad_few": _conv2d_weight_grad_few,
}
