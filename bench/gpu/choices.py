"""How the convolutions on tensor cores share out their work, chosen by hand for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from minispiral.kernels.cuda import conv2d


@contextmanager
def chosen(tiling: str | None = None, parts: int | None = None) -> Iterator[None]:
    """Inside this context tiles are those of ``tiling``, and sums are cut into ``parts``.

    None leaves the choice to the kernels' own functions.
    """
    before = conv2d._tiling, conv2d._parts
    if tiling is not None:
        conv2d._tiling = lambda *sizes, **named: tiling
    if parts is not None:
        conv2d._parts = lambda *sizes, **named: parts
    try:
        yield
    finally:
        conv2d._tiling, conv2d._parts = before
