"""Adam on the GPU; the formula is in `minispiral.kernels.adam`.

All parameters of a network are updated in one launch: `table` lists them, `adam_all` updates what
it lists.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .launch import Array, blocks, ctype, empty, gpu, launch
from .table import declare

declare("adam.cu", "adam<float>", registers=48)
declare("adam.cu", "adam<double>", registers=64)
declare("adam.cu", "adam_scales", threads=1, registers=64)
declare("adam.cu", "count_step", threads=1)

_SHARE = 4096  # elements of a block


class Table(NamedTuple):
    """Where the arrays of an update lie, in the GPU's memory."""

    parameters: Array  # (parameters, 6) int64: addresses of p, g, m, v; elements; first block
    owner: Array  # (blocks,) int32: whose elements a block updates
    ctype: str


def adam(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    step: Array,
    lr: Array,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    """Update the parameter ``p`` and its moments ``m``, ``v`` in place from the gradient ``g``.

    ``step`` (int64) and ``lr`` (float64) are arrays of one element on the GPU, so that a captured
    graph of a training step stays valid as they change. ValueError as for `table`.
    """
    adam_all(table([p], [g], [m], [v]), step, lr, beta1, beta2, eps)


def adam_all(
    parameters: Table, step: Array, lr: Array, beta1: float, beta2: float, eps: float
) -> None:
    """`adam` for all parameters of a table, in one launch after a tiny one."""
    scales = empty((2,), np.float64)
    betas = np.float64(beta1), np.float64(beta2)
    launch("adam_scales", (1,), step, lr, *betas, np.float64(eps), scales)
    arrays = parameters.parameters, parameters.owner, np.int32(_SHARE)
    launch(f"adam<{parameters.ctype}>", parameters.owner.shape, *arrays, *betas, scales)


def count_step(step: Array) -> None:
    """``step += 1``, in the GPU's memory."""
    launch("count_step", (1,), step)


def table(
    ps: Sequence[Array], gs: Sequence[Array], ms: Sequence[Array], vs: Sequence[Array]
) -> Table:
    """List parameters, gradients and moments, to be updated together.

    A table serves any number of updates while the arrays stay where they are; it does not keep
    them alive. ValueError as for `fill`.
    """
    made = blank_table(ps)
    fill(made, ps, gs, ms, vs)
    return made


def blank_table(ps: Sequence[Array]) -> Table:
    """A table for these parameters that does not say yet where anything lies.

    So a graph can be captured with it while the gradients' places are not known.
    """
    owner = [i for i, p in enumerate(ps) for _ in range(blocks(p.size, _SHARE))]
    return Table(
        gpu().put(np.zeros((len(ps), 6), np.int64)),
        gpu().put(np.array(owner, np.int32)),
        ctype(ps[0].dtype),
    )


def fill(
    made: Table,
    ps: Sequence[Array],
    gs: Sequence[Array],
    ms: Sequence[Array],
    vs: Sequence[Array],
) -> None:
    """Write into a table where the arrays lie.

    ValueError where the shapes of a parameter differ, where any dtypes differ, and for what is not
    contiguous.
    """
    rows: list[list[int]] = []
    first_block = 0
    for i, arrays in enumerate(zip(ps, gs, ms, vs, strict=True)):
        p = arrays[0]
        if any(a.shape != p.shape or a.dtype != ps[0].dtype for a in arrays):
            given = ", ".join(f"{a.dtype} {a.shape}" for a in arrays)
            raise ValueError(
                f"expected parameter {i}, its gradient and moments of shape {p.shape} and of "
                f"dtype {ps[0].dtype}, got {given}"
            )
        if not all(gpu().owns(a) and a.flags.c_contiguous for a in arrays):
            raise ValueError(f"the arrays of parameter {i} must be contiguous, on the GPU")
        addresses = [gpu().address(a) for a in arrays]
        rows.append([*addresses, p.size, first_block])
        first_block += blocks(p.size, _SHARE)
    made.parameters[...] = gpu().put(np.array(rows, np.int64))
