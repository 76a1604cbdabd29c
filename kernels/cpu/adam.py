"""Adam (Kingma and Ba 2015), all of an update in one pass over the memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import parallel

Array = NDArray[Any]


def adam(
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
    """Update the parameter ``p`` and its moments ``m``, ``v`` in place from the gradient ``g``.

    ::

        m = beta1 * m + (1 - beta1) * g          v = beta2 * v + (1 - beta2) * g**2
        p = p - lr * (m / (1 - beta1**step)) / (sqrt(v / (1 - beta2**step)) + eps)

    All four are contiguous and of one shape and dtype; ``step`` counts updates from 1.
    ValueError otherwise.
    """
    if not (p.shape == g.shape == m.shape == v.shape):
        raise ValueError(
            f"shapes differ: parameter {p.shape}, gradient {g.shape}, moments {m.shape}, {v.shape}"
        )
    if not (p.dtype == g.dtype == m.dtype == v.dtype):
        raise ValueError(
            f"dtypes differ: parameter {p.dtype}, gradient {g.dtype}, moments {m.dtype}, {v.dtype}"
        )
    if not (p.flags.c_contiguous and m.flags.c_contiguous and v.flags.c_contiguous):
        raise ValueError("parameter and moments must be contiguous: they are updated in place")
    if step < 1:
        raise ValueError(f"steps are counted from 1, got {step}")
    p, g, m, v = p.reshape(-1), np.ascontiguousarray(g).reshape(-1), m.reshape(-1), v.reshape(-1)
    # The corrections for the start, moved onto step size and eps: two divisions fewer an element.
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
