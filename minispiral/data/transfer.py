"""How pixel values stand for light: in proportion to it, or as cameras write them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]  # 0 to 1, of any floating dtype, which the results keep

TRANSFERS = ("srgb", "linear")


def light_of(values: Values, transfer: str) -> Values:
    """Light 0 to 1 that pixel ``values`` 0 to 1 stand for (IEC 61966-2-1 for ``srgb``)."""
    if transfer == "linear":
        return values
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def values_of(light: Values, transfer: str) -> Values:
    """The pixel values that stand for light; what is outside 0 to 1 is cut off for ``srgb``."""
    if transfer == "linear":
        return light
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
