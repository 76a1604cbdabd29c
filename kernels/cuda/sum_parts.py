"""Adds up the parts of long sums that several blocks have shared, in their order, in float64.

Several sums take one launch, made when the first of them is needed. No function waits for a weight
gradient, and most of these are sums of parts: a second pass for each would be a launch for each, of
which most are over before the next can begin.

    with late_sums():  # around a backward pass
        with postponed():
            gw = conv2d_weight_grad(...)  # not summed yet
        ...
        gw = completed(gw)  # nor are others, from here on
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from .launch import Array, blocks, ctype, launch
from .rows import MOST_ARRAYS, padded
from .table import declare

for t in ("float", "double"):
    declare("sum_parts.cu", f"sum_parts<{t}>", registers=48)

_SHARE = 1024  # numbers of a block
_SUMS = np.dtype([(name, np.int32, MOST_ARRAYS) for name in ("parts", "size", "first_block")])

Sum = tuple[Array, Array]  # the parts (parts, size), and where their sum belongs

_pending: ContextVar[list[Sum] | None] = ContextVar("pending", default=None)
_postponed: ContextVar[bool] = ContextVar("postponed", default=False)


def sum_parts(parts: Array, out: Array) -> None:
    """Fill ``out (size,)`` with the sum of ``parts (parts, size)`` over its rows: now or later."""
    pending = _pending.get()
    if pending is not None and _postponed.get():
        pending.append((parts, out))
    else:
        _launch([(parts, out)])


@contextmanager
def late_sums() -> Iterator[None]:
    """Sums that are `postponed` in this context are complete at its end."""
    token = _pending.set([])
    try:
        yield
        _complete()
    finally:
        _pending.reset(token)


@contextmanager
def postponed() -> Iterator[None]:
    """Arrays from this context are to be had from `completed`, inside `late_sums`."""
    token = _postponed.set(True)
    try:
        yield
    finally:
        _postponed.reset(token)


def completed(out: Array) -> Array:
    """``out``, for whose numbers nothing needs to be waited for any more."""
    _complete()
    return out


def _complete() -> None:
    pending = _pending.get() or []
    for dtype in dict.fromkeys(out.dtype for _, out in pending):
        sums = [each for each in pending if each[1].dtype == dtype]
        for i in range(0, len(sums), MOST_ARRAYS):
            _launch(sums[i : i + MOST_ARRAYS])
    pending.clear()


def _launch(sums: Sequence[Sum]) -> None:
    sizes = np.zeros((), _SUMS)
    first = 0
    for i, (parts, out) in enumerate(sums):
        sizes["parts"][i], sizes["size"][i], sizes["first_block"][i] = len(parts), out.size, first
        first += blocks(out.size, _SHARE)
    sizes["first_block"][len(sums) :] = first
    xs, ys = zip(*sums, strict=True)
    launch(f"sum_parts<{ctype(ys[0].dtype)}>", (first,), sizes, *padded(xs), *padded(ys))
