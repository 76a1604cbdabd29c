"""A loop of the source and the loops in the machine code that it became.

The compiler unrolls a loop, and adds one for the rest. Both are found by an instruction that each
iteration of the source has: `LDG` where it loads a number, say. The turns follow from the source,
so a kernel that is written anew needs its rule looked at; a rule that does not fit the machine
code is an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from bench.gpu.model.cost import kind
from bench.gpu.model.sass import Function, Loop
from minispiral.errors import UserError


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
