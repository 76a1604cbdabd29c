"""Override how the convolutions on tensor cores divide their work."""

from collections.abc import Iterator
from contextlib import contextmanager

from minispiral.kernels.cuda import conv2d_mma, split_k


@contextmanager
def chosen(tiling: str | None = None, parts: int | None = None) -> Iterator[None]:
    """Inside this context outputs are tiled by ``tiling`` and sums split into ``parts``.

    None leaves the choice to the kernels' own functions.
    """
    before = conv2d_mma.choose_tiling, split_k.parts
    if tiling is not None:
        conv2d_mma.choose_tiling = lambda *_: tiling
    if parts is not None:
        split_k.parts = lambda *_: parts
    try:
        yield
    finally:
        conv2d_mma.choose_tiling, split_k.parts = before
