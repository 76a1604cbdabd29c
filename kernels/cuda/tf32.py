"""TF32: whether convolutions may round their factors to the 10 bits of the tensor cores."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from numpy.typing import DTypeLike

_allowed: ContextVar[bool] = ContextVar("tf32", default=False)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether convolutions in this context may use TF32, on a GPU with tensor cores.

    A result then has a relative error of about 3e-4; without TF32 it is as exact as in float32.
    """
    token = _allowed.set(allowed)
    try:
        yield
    finally:
        _allowed.reset(token)


def is_allowed() -> bool:
    return _allowed.get()


def check_dtype(dtype: DTypeLike) -> None:
    """ValueError where TF32 is allowed and the numbers are no float32."""
    if is_allowed() and dtype != np.float32:
        raise ValueError(
            f"TF32 is a precision of float32 numbers, but these are {dtype}: leave TF32 out"
        )
