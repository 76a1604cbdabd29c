"""col2im: adds the gradients of overlapping windows up to the gradient of the image.

It is the adjoint of im2col, called `fold` in chapter 2 of the book.
"""

from typing import Any

from numpy.typing import NDArray

from . import parallel

Array = NDArray[Any]


def fold(products: Array, out: Array, stride: int, skip: int = 0) -> None:
    """Write to each pixel of ``out (n, h, w, c)`` the sum of the products that belong to it.

    Those of ``products (n, oh, ow, kh, kw, c)`` at ``(i, j, p, q)`` belong to the pixel
    ``row = stride * (i - skip) + p``, ``col = stride * j + q``.

    NumPy's inner loop runs along the last axis, so ``stride`` neighbouring taps, which fill as many
    neighbouring pixels, are added at once. Those of a single channel are added one by one, so that
    the loop runs along the row. The first taps to reach a pixel write to it and the others add to
    it, so only pixels that none of the first taps reach are filled with zeros beforehand.
    """
    ow, kh, kw, c = products.shape[2:]
    together = kw // stride * stride if c > 1 else 0
    taps = [*parallel.slices(together, stride), *(slice(q, q + 1) for q in range(together, kw))]
    sparse = kh < stride or kw < stride  # there are pixels that no tap reaches between the others
    if sparse:
        out[...] = 0
    for p in range(kh):
        rows = out[:, p % stride :: stride]
        target, source = _overlap(rows.shape[1], products.shape[1], p // stride - skip)
        if p < stride and not sparse:
            rows[:, : target.start] = 0
            rows[:, target.stop :] = 0
            rows[:, target, stride * ow :] = 0
        for tap in taps:
            values = products[:, source, :, p, tap]  # (n, i, j, taps, c)
            pixels = rows[:, target, tap.start : tap.start + stride * ow]
            if tap.start < together:
                pixels = pixels.reshape(values.shape)
            else:
                pixels = pixels[:, :, ::stride, None]
            if p < stride and tap.start < stride and not sparse:
                pixels[...] = values
            else:
                pixels += values


def _overlap(size: int, length: int, offset: int) -> tuple[slice, slice]:
    """Where ``length`` rows moved by ``offset`` fall on ``size`` rows: slices of target, source."""
    start = min(max(offset, 0), size)
    stop = max(min(offset + length, size), start)
    return slice(start, stop), slice(start - offset, stop - offset)
