"""Thinning of masks to lines of one pixel; of as many masks at once as an integer has bits.

The algorithm is that of MATLAB's ``bwmorph(mask, "thin", Inf)``, which the Berkeley benchmark
applies: Z. Guo and R. W. Hall, "Parallel thinning with two-subiteration algorithms",
Communications of the ACM 32 (1989), as stated by L. Lam, S.-W. Lee and C. Y. Suen, IEEE TPAMI 14
(1992), page 879.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.kernels.cpu import parallel

Array = NDArray[Any]

_CHUNK = 1 << 15  # pixels: what is computed of them stays in the cache


def thin(mask: NDArray[np.bool_], west_first: bool = False) -> NDArray[np.bool_]:
    """The mask (h, w), thinned until nothing changes: lines of one pixel, connected as before.

    The benchmark begins with the subiteration that spares what is needed to the east; with
    ``west_first`` it is the other one, which lays lines of even width a pixel elsewhere.
    """
    return thin_layers(mask.astype(np.uint8), west_first).astype(bool)


def thin_layers(layers: Array, west_first: bool = False) -> Array:
    """Thin masks that lie as bits in unsigned integers (h, w), each as `thin` does alone.

    A pixel is looked at again only when one of its neighbours has changed, so that the work grows
    with the mask and not with the picture.
    """
    image = np.pad(layers, 1)
    flat, row = image.reshape(-1), image.shape[1]
    pixels = np.flatnonzero(flat)
    # East, and on against the clock: x1 to x8 of the paper.
    offsets = (1, 1 - row, -row, -1 - row, -1, row - 1, row, row + 1)
    due = np.ones((2, flat.size), bool)  # for either subiteration
    while due[:, pixels].any():
        for second in (west_first, not west_first):
            pixels = pixels[flat[pixels] != 0]
            looked_at = pixels[due[int(second)][pixels]]
            due[int(second)][looked_at] = False
            chunks = [looked_at[part] for part in parallel.slices(looked_at.size, _CHUNK)]
            left = parallel.run(partial(_left, flat, offsets, second), chunks)
            for chunk, after in zip(chunks, left, strict=True):
                changed = chunk[flat[chunk] != after]
                flat[chunk] = after
                for offset in offsets:
                    due[:, changed + offset] = True
    return image[1:-1, 1:-1]


def _left(flat: Array, offsets: tuple[int, ...], second: bool, pixels: Array) -> Array:
    """What a subiteration leaves of ``pixels``: bits at which conditions G1 to G3 do not all hold.

    Bitwise, ``a | b`` is that either holds, for all masks at once.
    """
    x1, x2, x3, x4, x5, x6, x7, x8 = (flat[pixels + offset] for offset in offsets)
    # G1: the pixel has one crossing, a neighbour to a side that is off before one that is on.
    crossings = (~x1 & (x2 | x3), ~x3 & (x4 | x5), ~x5 & (x6 | x7), ~x7 & (x8 | x1))
    some, several, _ = _at_least(*crossings)
    one = some & ~several
    # G2: of pairs of neighbours, in either of two ways to pair them, two or three are on.
    first = _at_least(x1 | x2, x3 | x4, x5 | x6, x7 | x8)
    other = _at_least(x2 | x3, x4 | x5, x6 | x7, x8 | x1)
    two_or_three = first[1] & other[1] & ~(first[2] & other[2])
    # G3, of which each subiteration has its own: the pixel is not needed to the east, or the west.
    needed = (x6 | x7 | ~x4) & x5 if second else (x2 | x3 | ~x8) & x1
    kept: Array = flat[pixels] & ~(one & two_or_three & ~needed)
    return kept


def _at_least(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, Array, Array]:
    """Whether one, two and all four of them are on."""
    ab, cd = a | b, c | d
    pair_ab, pair_cd = a & b, c & d
    return ab | cd, pair_ab | pair_cd | (ab & cd), pair_ab & pair_cd
