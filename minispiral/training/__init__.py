"""Training: patches in, checkpoints out."""

from minispiral.training.config import TrainConfig
from minispiral.training.interrupt import Interrupted
from minispiral.training.loop import train

__all__ = ["Interrupted", "TrainConfig", "train"]
