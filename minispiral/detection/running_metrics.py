"""Loss, precision, recall and F1 of the batches of a training run."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from minispiral.kernels.statistics import TOTALS


@dataclass
class RunningSums:
    """Sums over the batches since the last row of ``metrics.csv``.

    Precision, recall and F1 are those of all their pixels pooled, at a probability of 0.5; None
    if no batch had a crack pixel.
    """

    loss_sum: float = 0.0  # of the finite losses
    finite_losses: int = 0
    crack: int = 0  # pixels
    detected: int = 0
    correct: int = 0
    batches_without_crack: int = 0
    nan_losses: int = 0

    @classmethod
    def from_totals(cls, totals: NDArray[np.float64]) -> Self:
        """The sums that `minispiral.kernels.statistics.add_batch` made."""
        values: dict[str, Any] = dict(zip(TOTALS, totals.tolist(), strict=True))
        return cls(values.pop("loss_sum"), **{name: int(value) for name, value in values.items()})

    def as_totals(self) -> NDArray[np.float64]:
        """The inverse of `from_totals`."""
        return np.array([getattr(self, name) for name in TOTALS], np.float64)

    @property
    def loss(self) -> float | None:
        """The mean of the finite losses, None if there are none."""
        return self.loss_sum / self.finite_losses if self.finite_losses else None

    @property
    def precision(self) -> float | None:
        if not self.crack:
            return None
        return self.correct / self.detected if self.detected else 0.0

    @property
    def recall(self) -> float | None:
        return self.correct / self.crack if self.crack else None

    @property
    def f1(self) -> float | None:
        return 2 * self.correct / (self.crack + self.detected) if self.crack else None
