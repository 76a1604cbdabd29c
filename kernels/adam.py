"""Adam (Kingma and Ba 2015), for all parameters of a network at once.

The update ``t = 1, 2, ...`` of a parameter ``p`` and its moments ``m``, ``v`` by a gradient ``g``::

    m = beta1 * m + (1 - beta1) * g          v = beta2 * v + (1 - beta2) * g**2
    p = p - lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .arrays import like, on_gpu
from .cpu import adam as cpu
from .cuda import adam as cuda

Array = Any  # NumPy's or the GPU's


class Update:
    """An update of arrays that lie where ``place`` lies, launched again and again.

    ``step``, the number of updates so far (int64), and ``lr`` (float64) are arrays without axes in
    the same place: a captured graph of a training step stays valid as they change.
    """

    def __init__(self, place: Array, lr: float, beta1: float, beta2: float, eps: float) -> None:
        self.step = like(np.zeros((), np.int64), place)
        self.lr = like(np.array(lr, np.float64), place)
        self._constants = beta1, beta2, eps
        self._twin = cuda if on_gpu(place) else cpu
        self._table: Any = None

    def locate(
        self, ps: Sequence[Array], gs: Sequence[Array], ms: Sequence[Array], vs: Sequence[Array]
    ) -> None:
        """Say where the parameters, their gradients and both moments lie now.

        ValueError where the shapes of a parameter differ, where any dtypes differ, and where what
        is updated in place is not contiguous.
        """
        for p, g, m, v in zip(ps, gs, ms, vs, strict=True):
            if not p.shape == g.shape == m.shape == v.shape:
                raise ValueError(
                    f"shapes differ: parameter {p.shape}, gradient {g.shape}, "
                    f"moments {m.shape}, {v.shape}"
                )
            if not ps[0].dtype == p.dtype == g.dtype == m.dtype == v.dtype:
                raise ValueError(
                    f"dtypes differ: parameter {p.dtype}, gradient {g.dtype}, "
                    f"moments {m.dtype}, {v.dtype}, first parameter {ps[0].dtype}"
                )
            if not (p.flags.c_contiguous and m.flags.c_contiguous and v.flags.c_contiguous):
                raise ValueError("parameter and moments must be contiguous: they change in place")
        self._table = self._twin.table(ps, gs, ms, vs, self._table)

    def launch(self) -> None:
        """Count a step and update what was located last.

        The CPU lets go of the arrays afterwards. On the GPU any number of updates may follow, as
        long as nothing moves.
        """
        self._twin.adam(self._table, self.step, self.lr, *self._constants)
