"""Adam on the GPU, all parameters in one launch; the formula is in `minispiral.kernels.adam`."""

from collections.abc import Sequence

import numpy as np

from . import shares
from .launch import Array, empty, launch
from .table import declare

declare("adam.cu", "adam<float>", registers=48)
declare("adam.cu", "adam<double>", registers=64)
declare("adam.cu", "adam_scales", threads=1, registers=64)
declare("adam.cu", "count_step", threads=1)


def table(
    ps: Sequence[Array],
    gs: Sequence[Array],
    ms: Sequence[Array],
    vs: Sequence[Array],
    before: shares.Table | None,
) -> shares.Table:
    """Where p, g, m and v of each parameter lie; see `shares.table`."""
    return shares.table((ps, gs, ms, vs), before)


def adam(
    table: shares.Table, step: Array, lr: Array, beta1: float, beta2: float, eps: float
) -> None:
    launch("count_step", (1,), step)
    scales = empty((2,), np.float64)
    betas = np.float64(beta1), np.float64(beta2)
    launch("adam_scales", (1,), step, lr, *betas, np.float64(eps), scales)
    arrays = table.rows, table.owner, np.int32(shares.SHARE)
    launch(f"adam<{table.ctype}>", table.owner.shape, *arrays, *betas, scales)
