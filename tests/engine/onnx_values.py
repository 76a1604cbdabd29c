"""The values of ONNX's graphs: tensors, and numbers that no tensor holds."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minispiral.tensor import Tensor

NOT_FLOATS = "numbers that are neither float32 nor float64"


class OutOfScope(Exception):
    """The operations of minispiral cannot do this; the message says what."""


@dataclass(frozen=True)
class NotFloats:
    """A value of a graph that no tensor holds: axes, sizes, counts, booleans, half floats."""

    data: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype


def value_of(array: Any, requires_grad: bool = False) -> Tensor | NotFloats:
    """A tensor where there can be one."""
    array = np.asarray(array)
    floats = array.dtype in (np.float32, np.float64)
    return Tensor(array, requires_grad) if floats else NotFloats(array)
