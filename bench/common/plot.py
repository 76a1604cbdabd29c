"""Plots, if matplotlib is installed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def save(
    picture: Path, size: tuple[float, float], draw: Callable[[Any], None], **options: Any
) -> bool:
    """Write a figure of ``size`` inches that ``draw`` fills; False if matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    from minispiral.data.photos import write_picture

    figure = Figure(figsize=size, dpi=150, **options)
    canvas: Any = FigureCanvasAgg(figure)
    draw(figure)
    canvas.draw()
    write_picture(picture, np.asarray(canvas.buffer_rgba())[..., :3].copy())
    return True
