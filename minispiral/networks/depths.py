"""The depths of Spiral-Net's modules: presets, and how the command line writes them."""

from collections.abc import Sequence

from minispiral.errors import UserError
from minispiral.networks.table1 import ENCODER_CHANNELS

PRESETS: dict[str, tuple[int, ...]] = {  # Table 2
    "increasing": (1, 2, 3, 4, 5, 6, 7),
    "decreasing": (7, 6, 5, 4, 3, 2, 1),
    "triangle": (1, 2, 3, 4, 3, 2, 1),
    "triangle-7": (1, 3, 5, 7, 6, 4, 2),
    **{f"uniform-{k}": (k,) * 7 for k in range(1, 8)},
}


def check_depths(depths: Sequence[int]) -> None:
    """Raise `UserError` unless there are depths and Table 1 has layers for each."""
    deepest = len(ENCODER_CHANNELS)
    if not depths or any(not 1 <= depth <= deepest for depth in depths):
        raise UserError(f"depths are numbers from 1 to {deepest}, not {list(depths)}", "depths")


def parse_depths(text: str) -> tuple[int, ...]:
    """Depths from a range ``1-7``, a list ``1,3,5`` or the name of a preset.

    Raises `UserError` for anything else.
    """
    text = text.strip()
    if text in PRESETS:
        return PRESETS[text]
    try:
        if "-" in text:
            first, last = (int(part) for part in text.split("-"))
            step = 1 if last >= first else -1
            depths = tuple(range(first, last + step, step))
        else:
            depths = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(
            f"{text!r} gives no depths: write a range like 1-7, a list like 1,3,5 "
            f"or one of {', '.join(PRESETS)}"
        ) from None
    check_depths(depths)
    return depths
