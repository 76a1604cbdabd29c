"""Everything but convolutions: passes over pixels, and second passes of sums."""

import numpy as np

from bench.gpu.model.recording import Launch
from bench.gpu.model.rules.common import Rules, batches, over_blocks, over_rows, rows, tree, words
from bench.gpu.model.rules.loops import Rule, Turns
from minispiral.kernels.cuda.rows import BATCH


def _pixel_losses(launch: Launch) -> Rule:
    return Rule([Turns("LDG.8", 1, rows(launch, launch["n"])), tree(launch)])


def _loss_gradient(launch: Launch) -> Rule:
    threads = launch.grid[0] * launch.block[0]
    return Rule([Turns(f"STG.{words(launch)}", 1, launch["n"] / threads)])


def _adam(launch: Launch) -> Rule:
    return Rule([Turns(f"STG.{words(launch)}", 3, launch["share"] / launch.block[0])])


def _square_sums(launch: Launch) -> Rule:
    turns = launch["share"] / launch.block[1]
    return Rule([Turns(f"LDG.{words(launch)}", 1, turns), tree(launch)])


def _scaled(launch: Launch) -> Rule:
    return Rule([Turns(f"STG.{words(launch)}", 1, launch["share"] / launch.block[0])])


def _sum_parts(launch: Launch) -> Rule:
    """The mean over the blocks, which work on sums of more and of fewer parts."""
    sums = launch["sums"]
    blocks = np.diff(sums["first_block"], append=launch.grid[0])
    parts = float(blocks @ sums["parts"]) / launch.grid[0]
    return Rule([Turns(f"LDG.{words(launch)}", 4, parts)])


def _finish_parts(launch: Launch) -> Rule:
    """Loops without parts, which the compiler has put before the right one, do not run."""
    around = (rows(launch, launch["m"]),)
    return Rule([tree(launch), Turns("LDG.32", 1, launch["parts"], around, which=-1)], others=0)


def _apply_grad(launch: Launch) -> Rule:
    bits = "128" if launch["wide"] else words(launch)
    return Rule([Turns(f"STG.{bits}", 1, rows(launch, launch["m"], 2))], others=0)


def _apply_grad_of_parts(launch: Launch) -> Rule:
    parts = batches(launch["blocks"] / launch.block[1], BATCH)
    of_parts = Turns("LDG.64", 2, parts)
    pixels = Turns(f"STG.{words(launch)}", 1, rows(launch, launch["m"], BATCH), which=-1)
    return Rule([of_parts, tree(launch), pixels], others=0)


STRAIGHT = (
    *("add", "add_all", "multiply", "sigmoid_of", "convert", "blend", "scale_shift"),
    *(
        "cut_tile",
        "blend_tile",
        "scale_pixels",
        "window",
        "edge_pad",
        "adam_scales",
        "count_step",
        "loss_value",
    ),
)

RULES: Rules = {
    **dict.fromkeys(STRAIGHT, lambda launch: Rule()),
    "normalize": over_rows(1, BATCH),
    "flip": lambda launch: Rule([Turns("STG.8", 1, rows(launch, launch["m"], BATCH))]),
    "join_channels": over_rows(1, BATCH),
    "split_channels": over_rows(1, BATCH),
    "apply_grad": _apply_grad,
    "apply_grad_of_parts": _apply_grad_of_parts,
    "block_moments": over_rows(1),
    "block_grad_sums": over_rows(2, BATCH),
    "block_row_sums": over_rows(1),
    "merge_moments": over_blocks(3),
    "merge_norm_moments": over_blocks(3),
    "merge_grad_sums": over_blocks(2),
    "merge_row_sums": over_blocks(1),
    "merge_parts": lambda launch: over_blocks(launch["partial"][-1])(launch),
    "merge_sums": over_blocks(3),
    "merge_counts": over_blocks(3),
    "add_batch": over_blocks(3),
    "block_sums": _pixel_losses,
    "block_counts": _pixel_losses,
    "loss_gradient": _loss_gradient,
    "adam": _adam,
    "square_sums": _square_sums,
    "clip_factor": over_blocks(1),
    "scaled": _scaled,
    "sum_parts": _sum_parts,
    "finish_parts": _finish_parts,
    "edge_pad_grad": lambda launch: Rule(others=1),  # only at the edges more
}
