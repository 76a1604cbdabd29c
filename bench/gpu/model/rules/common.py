"""What the rules of several kernels have in common: the loops of ``rows.cuh``."""

from collections.abc import Callable
from math import ceil, log2

from bench.gpu.model.recording import Launch
from bench.gpu.model.rules.loops import Rule, Turns
from minispiral.kernels.cuda.rows import BATCH

Rules = dict[str, Callable[[Launch], Rule]]


def words(launch: Launch) -> str:
    """Bits of the numbers that a kernel computes with."""
    return "64" if "double" in launch.kernel.expression else "32"


def rows(launch: Launch, size: int, batch: int = 1) -> float:
    """Rows of each thread, which takes so many at a time; see rows.cuh."""
    return batches(size / (launch.grid[1] * launch.block[1]), batch)


def batches(turns: float, size: int) -> float:
    """So many turns in full batches, whose loads are on their way together."""
    return turns if size == 1 else size * ceil(turns / size)


def tree(launch: Launch) -> Turns:
    """The loop of merge_rows."""
    return Turns("BAR", 1, log2(launch.block[1]), optional=True)


def over_rows(each: float, batch: int = 1) -> Callable[[Launch], Rule]:
    """A loop over rows that loads ``each`` numbers of every one."""

    def of(launch: Launch) -> Rule:
        loads = Turns(f"LDG.{words(launch)}", each, rows(launch, launch["m"], batch))
        return Rule([loads, tree(launch)])

    return of


def over_blocks(each: float) -> Callable[[Launch], Rule]:
    """A second pass, whose parts have ``each`` numbers of 64 bits."""

    def of(launch: Launch) -> Rule:
        turns = batches(launch["blocks"] / launch.block[1], BATCH)
        return Rule([Turns("LDG.64", each, turns), tree(launch)], others=1)

    return of
