"""Who is compared: minispiral, and PyTorch in each of its forms."""

from typing import NamedTuple

OURS = "minispiral"


class Form(NamedTuple):
    """One of the ways to run PyTorch."""

    layout: str
    compiled: bool = False

    @property
    def name(self) -> str:
        return f"{self.layout} compiled" if self.compiled else self.layout


LAYOUTS = ("NCHW", "channels_last")
EAGER = tuple(Form(layout) for layout in LAYOUTS)
COMPILED = tuple(Form(layout, compiled=True) for layout in LAYOUTS)
