"""Adam on the GPU, all parameters in one launch; the formula is in `minispiral.kernels.adam`."""

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
    """Where the arrays of an update lie, in the GPU's memory; it does not keep them alive."""

    parameters: Array  # (parameters, 6) int64: addresses of p, g, m, v; elements; first block
    owner: Array  # (blocks,) int32: whose elements a block updates
    sizes: tuple[int, ...]  # elements of each parameter
    ctype: str


def table(
    ps: Sequence[Array],
    gs: Sequence[Array],
    ms: Sequence[Array],
    vs: Sequence[Array],
    before: Table | None,
) -> Table:
    """List the arrays; in the table of ``before``, if that is for parameters of these sizes.

    A graph that was captured with it then finds the gradients of today. ValueError for arrays that
    are not contiguous or not on the GPU.
    """
    sizes = tuple(p.size for p in ps)
    found = before if before is not None and before.sizes == sizes else _blank(sizes, ps)
    rows: list[list[int]] = []
    first_block = 0
    for i, arrays in enumerate(zip(ps, gs, ms, vs, strict=True)):
        if not all(gpu().owns(a) and a.flags.c_contiguous for a in arrays):
            raise ValueError(f"the arrays of parameter {i} must be contiguous, on the GPU")
        addresses = [gpu().address(a) for a in arrays]
        rows.append([*addresses, sizes[i], first_block])
        first_block += blocks(sizes[i], _SHARE)
    found.parameters[...] = gpu().put(np.array(rows, np.int64).reshape(-1, 6))
    return found


def adam(table: Table, step: Array, lr: Array, beta1: float, beta2: float, eps: float) -> None:
    launch("count_step", (1,), step)
    scales = empty((2,), np.float64)
    betas = np.float64(beta1), np.float64(beta2)
    launch("adam_scales", (1,), step, lr, *betas, np.float64(eps), scales)
    arrays = table.parameters, table.owner, np.int32(_SHARE)
    launch(f"adam<{table.ctype}>", table.owner.shape, *arrays, *betas, scales)


def _blank(sizes: Sequence[int], ps: Sequence[Array]) -> Table:
    owner = [i for i, size in enumerate(sizes) for _ in range(blocks(size, _SHARE))]
    return Table(
        empty((len(sizes), 6), np.int64),
        gpu().put(np.array(owner, np.int32)),
        tuple(sizes),
        ctype(ps[0].dtype if ps else np.float32),
    )
