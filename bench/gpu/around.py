"""A GPU that stands in for another, whose functions are its own but for those it changes."""

from typing import Any


class Around:
    """A `minispiral.kernels.cuda.launch.Gpu` that asks ``device`` for what it does not define."""

    def __init__(self, device: Any) -> None:
        self.device = device

    def __getattr__(self, name: str) -> Any:
        return getattr(self.device, name)
