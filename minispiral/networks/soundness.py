"""Whether saved tensors can be those of a network: one NaN makes every probability NaN."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.nn import BatchNorm


def what_is_wrong(name: str, values: NDArray[Any]) -> str:
    """What keeps the tensor ``name`` from being used, such as "negative"; "" for nothing.

    Weights, statistics and moments are floats, finite as float32 too, in which networks compute.
    Variances and Adam's second moments ``v`` have a square root: v >= 0, var + eps > 0.
    """
    if values.dtype.kind != "f":
        return f"{values.dtype}, not floating-point numbers"
    with np.errstate(over="ignore"):
        single = values.astype(np.float32, copy=False)
    if not np.isfinite(single).all():
        return "not finite floating-point numbers"
    variance, second = name.endswith("running_var"), name.startswith("adam.v.")
    if (variance and (single <= -BatchNorm.eps).any()) or (second and (single < 0).any()):
        return "negative, though they are means of squares"
    return ""
