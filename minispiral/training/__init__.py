"""Training: patches in, checkpoints out.

The loop is imported when `train` is first used: the options of a run do not need it.
"""

from typing import TYPE_CHECKING, Any

from minispiral.training.config import TrainConfig
from minispiral.training.interrupt import Interrupted

if TYPE_CHECKING:
    from minispiral.training.loop import train

__all__ = ["Interrupted", "TrainConfig", "train"]


def __getattr__(name: str) -> Any:
    if name != "train":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from minispiral.training.loop import train

    return train
