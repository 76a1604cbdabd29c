"""How often the loops of each kernel turn, from the sizes of a launch.

What a loop is in the source may be several loops in the machine code: the compiler unrolls it, and
adds one for the rest. Both are found by an instruction that each iteration of the source has: `LDG`
where it loads a number, say. The turns follow from the source, so a kernel that is written anew
needs its rule looked at; a rule that does not fit the machine code is an error.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import log2, prod

from bench.gpu.model.cost import kind
from bench.gpu.model.recording import Launch
from bench.gpu.model.sass import Function, Loop
from minispiral.errors import UserError
from minispiral.kernels.cuda.conv2d_mma import TERMS, TILINGS


@dataclass(frozen=True)
class Turns:
    """A loop of the source."""

    marker: str  # instruction by which it is known, with its width in bits if it accesses memory
    each: float  # how many of these an iteration has
    turns: float  # iterations of a warp, on average
    around: Sequence[float] = ()  # iterations of the loops around it, from the inside outwards
    which: int | None = None  # among several with this marker; None: there is but one
    optional: bool = False  # a flag may skip it


@dataclass(frozen=True)
class Rule:
    """The loops of a kernel."""

    turns: Sequence[Turns] = field(default_factory=tuple)
    others: float | None = None  # iterations of all other loops, for one of the loop around them


class RuleError(UserError):
    """A rule does not fit the machine code."""


def turns_of_loops(function: Function, rule: Rule, name: str) -> dict[Loop, float]:
    """How often a warp runs each loop's own code."""
    found: dict[Loop, float] = {}
    for turns in rule.turns:
        group = _loops_of(function, turns, name)
        if not group:
            continue
        runs = prod(turns.around)
        found.update((loop, runs * count) for loop, count in _share(group, turns.turns).items())
        outer = function.parent(next(iter(group)))
        for times in turns.around:
            if outer is None:
                raise RuleError(f"{name}: fewer loops around {turns.marker} than its rule says")
            found[outer] = runs
            runs /= times
            outer = function.parent(outer)
    for loop in sorted(set(function.loops) - set(found), key=lambda other: -len(other.blocks)):
        if rule.others is None:
            raise RuleError(f"{name}: its rule does not know all of its loops")
        parent = function.parent(loop)
        found[loop] = rule.others * (1.0 if parent is None else found[parent])
    return found


def _loops_of(function: Function, turns: Turns, name: str) -> dict[Loop, float]:
    """The loops that are one loop of the source, and how many of its iterations a turn has."""
    groups: list[dict[Loop, float]] = []
    for loop in function.loops:
        markers = sum(kind(instruction) == turns.marker for instruction in function.own_code(loop))
        if markers == 0:
            continue
        unrolled = markers / turns.each
        siblings = groups and function.parent(next(iter(groups[-1]))) == function.parent(loop)
        if siblings and unrolled not in groups[-1].values():
            groups[-1][loop] = unrolled
        else:
            groups.append({loop: unrolled})
    if not groups and turns.optional:
        return {}
    if turns.which is None and len(groups) != 1:
        raise RuleError(f"{name}: {len(groups)} loops with {turns.marker}, its rule expects one")
    if turns.which is not None and not -len(groups) <= turns.which < len(groups):
        raise RuleError(f"{name}: only {len(groups)} loops with {turns.marker}")
    return groups[turns.which or 0]


def _share(group: dict[Loop, float], turns: float) -> dict[Loop, float]:
    """Turns of each: those unrolled most take all they can, the last takes the rest."""
    left, found = turns, dict[Loop, float]()
    for loop, unrolled in sorted(group.items(), key=lambda item: -item[1]):
        last = len(found) == len(group) - 1
        found[loop] = left / unrolled if last else float(int(left / unrolled))
        left -= found[loop] * unrolled
    return found


def rule(launch: Launch) -> Rule:
    """The rule for a launch. `RuleError` for a kernel that has none."""
    name = launch.kernel.expression.partition("<")[0]
    if name in RULES:
        return RULES[name](launch)
    if name in STRAIGHT:
        return Rule()
    raise RuleError(f"{name} has no rule: add it to bench/gpu/model/rules.py")


STRAIGHT = {
    *("add", "multiply", "sigmoid_of", "convert", "blend", "scale_shift", "scale_pixels", "flip"),
    *("copy_channels", "window", "edge_pad", "adam_scales", "count_step", "loss_value"),
}


def _words(launch: Launch) -> str:
    """Bits of the numbers that a kernel computes with."""
    return "64" if "double" in launch.kernel.expression else "32"


def _rows(launch: Launch, size: int) -> float:
    """Rows of each thread; see rows.cuh."""
    return size / (launch.grid[1] * launch.block[1])


def _tree(launch: Launch) -> Turns:
    """The loop of merge_rows."""
    return Turns("BAR", 1, log2(launch.block[1]), optional=True)


def _over_rows(each: float, size: str = "m", tree: bool = True) -> Callable[[Launch], Rule]:
    """A loop over rows that loads ``each`` numbers of every one."""

    def of(launch: Launch) -> Rule:
        turns = [Turns(f"LDG.{_words(launch)}", each, _rows(launch, launch[size]))]
        return Rule([*turns, _tree(launch)] if tree else turns)

    return of


def _over_blocks(each: float) -> Callable[[Launch], Rule]:
    """A second pass, whose parts have ``each`` numbers of 64 bits."""

    def of(launch: Launch) -> Rule:
        return Rule([Turns("LDG.64", each, launch["blocks"] / launch.block[1]), _tree(launch)])

    return of


def _pixel_losses(launch: Launch) -> Rule:
    return Rule([Turns("LDG.8", 1, _rows(launch, launch["n"])), _tree(launch)])


def _loss_gradient(launch: Launch) -> Rule:
    threads = launch.grid[0] * launch.block[0]
    return Rule([Turns(f"STG.{_words(launch)}", 1, launch["n"] / threads)])


def _adam(launch: Launch) -> Rule:
    return Rule([Turns(f"STG.{_words(launch)}", 3, launch["share"] / launch.block[0])])


def _sum_parts(launch: Launch) -> Rule:
    return Rule([Turns(f"LDG.{_words(launch)}", 1, launch["parts"])])


def _finish_parts(launch: Launch) -> Rule:
    """Loops without parts, which the compiler has put before the right one, do not run."""
    rows = _rows(launch, launch["m"])
    return Rule([_tree(launch), Turns("LDG.32", 1, launch["parts"], (rows,), which=-1)], others=0)


def _mma(launch: Launch, steps: float, others: float) -> Rule:
    tiling = launch.kernel.expression.partition("<")[2].rstrip(">")
    rows, columns = TILINGS[tiling]
    products = rows * columns * TERMS / (16 * 8 * 8) / (launch.kernel.threads / 32)
    products *= 3 if "Precise" in tiling else 1
    return Rule([Turns("HMMA", products, steps / launch.grid[2])], others)


def _conv2d_mma(launch: Launch) -> Rule:
    conv = launch["conv"]
    return _mma(launch, conv["kh"] * conv["kw"] * -(-conv["big"] // TERMS), 1)


def _conv2d_input_grad_mma(launch: Launch) -> Rule:
    """Classes of pixels have different numbers of taps: a pixel has their mean."""
    conv = launch["conv"]
    taps = conv["kh"] * conv["kw"] / conv["stride"] ** 2
    return _mma(launch, taps * -(-conv["small"] // TERMS), 1)


def _conv2d_weight_grad_mma(launch: Launch) -> Rule:
    conv = launch["conv"]
    windows = conv["n"] * conv["oh"] * conv["ow"]
    return _mma(launch, -(-windows // TERMS), TERMS / conv["ow"])  # others: windows of a row


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
    return Rule([loads, _tree(launch)], others=0)


def _conv2d_weight_grad_few(launch: Launch) -> Rule:
    conv = launch["conv"]
    steps = conv["n"] * conv["oh"] * conv["ow"] / launch.grid[1] / 32
    return Rule(
        [Turns("STS.32", 2, 8, (steps,)), Turns("FFMA", 16, 32, (steps,))],
    )


def _conv2d_weight_grad(launch: Launch) -> Rule:
    conv = launch["conv"]
    rows = conv["n"] * conv["oh"] / launch.grid[1]
    return Rule([Turns(f"LDG.{_words(launch)}", 2, conv["ow"], (rows,), which=-1)])


def _plain(launch: Launch) -> Rule:
    """The sums over channels of a tap are unrolled: with few channels, in the code around."""
    conv = launch["conv"]
    inner = conv["small"] if "input_grad" in launch.kernel.expression else conv["big"]
    around = conv["kw"], conv["kh"]
    return Rule([Turns(f"LDG.{_words(launch)}", 2, inner, around, which=-1)], others=0)


RULES: dict[str, Callable[[Launch], Rule]] = {
    "normalize": lambda launch: Rule(
        [Turns(f"STG.{_words(launch)}", 1, _rows(launch, launch["m"]))]
    ),
    "apply_grad": lambda launch: Rule(
        [Turns(f"STG.{_words(launch)}", 1, _rows(launch, launch["m"]))]
    ),
    "block_moments": _over_rows(1),
    "block_grad_sums": _over_rows(2),
    "block_row_sums": _over_rows(1),
    "merge_moments": _over_blocks(3),
    "merge_grad_sums": _over_blocks(2),
    "merge_row_sums": _over_blocks(1),
    "merge_parts": lambda launch: _over_blocks(launch["partial"][-1])(launch),
    "merge_sums": _over_blocks(3),
    "merge_counts": _over_blocks(3),
    "add_batch": _over_blocks(3),
    "block_sums": _pixel_losses,
    "block_counts": _pixel_losses,
    "loss_gradient": _loss_gradient,
    "adam": _adam,
    "sum_parts": _sum_parts,
    "finish_parts": _finish_parts,
    "conv2d_mma": _conv2d_mma,
    "conv2d_input_grad_mma": _conv2d_input_grad_mma,
    "conv2d_weight_grad_mma": _conv2d_weight_grad_mma,
    "conv2d_few": _conv2d_few,
    "conv2d_input_grad_few": _conv2d_input_grad_few,
    "conv2d_weight_grad_few": _conv2d_weight_grad_few,
    "max_pool2d": lambda launch: Rule(others=launch["size"]),
    "max_pool2d_grad": lambda launch: Rule(others=-(-launch["size"] // launch["stride"])),
    "edge_pad_grad": lambda launch: Rule(others=1),  # only at the edges more
    "conv2d": _plain,
    "conv2d_input_grad": _plain,
    "conv2d_weight_grad": _conv2d_weight_grad,
}
