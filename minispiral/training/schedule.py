"""The learning rate of each step.

With ``warmup`` W the rate rises in equal parts to ``lr`` in the first W steps. Then it is constant,
or falls to almost nothing along half a cosine (Loshchilov and Hutter 2017, Eq. 5, without restarts)
over the other T - W of T steps::

    lr * (s + 1) / W                                    after s < W steps
    lr * (1 + cos(pi * (s - W) / (T - W))) / 2          after s >= W steps
"""

import math

from minispiral.errors import UserError
from minispiral.training.config import TrainConfig


class Schedule:
    """The rates of a run of ``total`` steps.

    Raises `UserError` for a warm-up that would not end before the run.
    """

    def __init__(self, config: TrainConfig, total: int) -> None:
        if config.warmup >= total:
            raise UserError(
                f"warmup {config.warmup} was given, expected fewer than the {total} steps of the "
                "run",
                "warmup",
            )
        self.config, self.total = config, total

    @property
    def is_constant(self) -> bool:
        """Whether all steps have the same rate."""
        return self.config.schedule == "constant" and self.config.warmup == 0

    def rate(self, done: int) -> float:
        """The rate of the step after ``done`` steps."""
        lr, warmup = self.config.lr, self.config.warmup
        if done < warmup:
            return lr * (done + 1) / warmup
        if self.config.schedule == "constant":
            return lr
        return lr * (1 + math.cos(math.pi * (done - warmup) / (self.total - warmup))) / 2
