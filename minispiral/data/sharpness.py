"""How sharp a photograph is, compared with others of the same surface."""

import numpy as np
from numpy.typing import NDArray

LINES = 256  # rows, and columns, that are looked at
NEAR, FAR = 1, 4  # pixels


def sharpness(grey: NDArray[np.uint8]) -> float | None:
    """``S(1) / S(4)`` of a picture (h, w), where ``S(d) = mean (g(x + d) - g(x))^2``.

    The ratio is 1 for independent pixels and 1/16 where the picture is smooth over four pixels,
    whatever its contrast. It is taken along rows and along columns, and the smaller one counts, so
    that blur in one direction shows. None for a picture without any contrast, or smaller than five
    pixels. Only pictures of like surfaces can be compared.
    """
    ratios = []
    for picture in (grey, grey.T):
        lines = picture[:: max(len(picture) // LINES, 1)].astype(np.float32)
        if lines.shape[1] <= FAR:
            return None
        near, far = (
            float(np.square(lines[:, step:] - lines[:, :-step]).mean()) for step in (NEAR, FAR)
        )
        if not far:
            return None
        ratios.append(near / far)
    return min(ratios)
