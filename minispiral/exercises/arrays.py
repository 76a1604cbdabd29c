"""Compares an array that an answer returned with the right one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.exercises import Wrong


def expect(result: Any, expected: NDArray[np.float64], call: str, tolerance: float = 1e-9) -> None:
    """Raise `Wrong` unless ``result``, which ``call`` returned, is the expected array.

    Errors are relative to the largest expected element.
    """
    if not isinstance(result, np.ndarray):
        raise Wrong(f"{call} returned {type(result).__name__}, expected an array")
    if result.shape != expected.shape:
        raise Wrong(f"{call} returned the shape {result.shape}, expected {expected.shape}")
    error = np.nan_to_num(np.abs(result - expected), nan=np.inf, posinf=np.inf)
    if error.max() > tolerance * np.abs(expected).max():
        at = np.unravel_index(error.argmax(), error.shape)
        place = f"[{', '.join(map(str, at))}]" if at else ""
        raise Wrong(f"{call}{place} is {result[at]:.9g}, expected {expected[at]:.9g}")
