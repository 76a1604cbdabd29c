"""Lists of arrays that one launch works through: a table says where they lie, and whose a block is.

The kernels read a row of the table as addresses, the number of elements and the first block.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .launch import Array, blocks, ctype, empty, gpu

SHARE = 4096  # elements of a block


class Table(NamedTuple):
    """Where the arrays lie, in the GPU's memory; it does not keep them alive."""

    rows: Array  # (parameters, arrays + 2) int64: their addresses; elements; first block
    owner: Array  # (blocks,) int32: whose elements a block works on
    sizes: tuple[int, ...]  # elements of each parameter
    ctype: str


def table(lists: Sequence[Sequence[Array]], before: Table | None) -> Table:
    """List the arrays of each parameter; in ``before``, if that is for parameters of these sizes.

    A graph that was captured with it then finds the arrays of today. ``lists`` has one list for
    each argument of the kernels, such as gradients, over all parameters. ValueError for arrays
    that are not contiguous or not on the GPU.
    """
    sizes = tuple(a.size for a in lists[0])
    found = before if before is not None and before.sizes == sizes else _blank(sizes, lists)
    rows: list[list[int]] = []
    first_block = 0
    for i, arrays in enumerate(zip(*lists, strict=True)):
        if not all(gpu().owns(a) and a.flags.c_contiguous for a in arrays):
            raise ValueError(f"the arrays of parameter {i} must be contiguous, on the GPU")
        addresses = [gpu().address(a) for a in arrays]
        rows.append([*addresses, sizes[i], first_block])
        first_block += blocks(sizes[i], SHARE)
    found.rows[...] = gpu().put(np.array(rows, np.int64).reshape(-1, len(lists) + 2))
    return found


def _blank(sizes: Sequence[int], lists: Sequence[Sequence[Array]]) -> Table:
    owner = [i for i, size in enumerate(sizes) for _ in range(blocks(size, SHARE))]
    return Table(
        empty((len(sizes), len(lists) + 2), np.int64),
        gpu().put(np.array(owner, np.int32)),
        tuple(sizes),
        ctype(lists[0][0].dtype if sizes else np.float32),
    )
