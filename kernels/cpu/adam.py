"""Adam in NumPy, one pass over the memory of each parameter; see `minispiral.kernels.adam`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import parallel

Array = NDArray[Any]
Table = list[tuple[Array, Array, Array, Array]]


def table(
    ps: Sequence[Array],
    gs: Sequence[Array],
    ms: Sequence[Array],
    vs: Sequence[Array],
    before: Table | None,
) -> Table:
    """The arrays of each parameter."""
    return list(zip(ps, gs, ms, vs, strict=True))


def adam(table: Table, step: Array, lr: Array, beta1: float, beta2: float, eps: float) -> None:
    """The table is empty afterwards, so that it keeps no gradient alive."""
    step += 1
    if step < 1:
        raise ValueError(f"steps are counted from 1, got {step}")
    for arrays in table:
        _update(*arrays, int(step), float(lr), beta1, beta2, eps)
    table.clear()


def _update(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    p, g, m, v = p.reshape(-1), np.ascontiguousarray(g).reshape(-1), m.reshape(-1), v.reshape(-1)
    # The bias corrections, moved to step size and eps: two divisions fewer for each element.
    correction = np.sqrt(1 - beta2**step)
    step_size = lr * correction / (1 - beta1**step)
    dtype = p.dtype.type

    def work(tile: slice) -> None:
        pt, gt, mt, vt = p[tile], g[tile], m[tile], v[tile]
        t = parallel.scratch(gt.shape, gt.dtype)
        mt *= dtype(beta1)
        mt += np.multiply(gt, dtype(1 - beta1), out=t)
        vt *= dtype(beta2)
        np.multiply(gt, gt, out=t)
        t *= dtype(1 - beta2)
        vt += t
        np.sqrt(vt, out=t)
        t += dtype(eps * correction)
        np.divide(mt, t, out=t)
        t *= dtype(step_size)
        pt -= t

    parallel.run(work, parallel.row_tiles(p.size))
