"""A batch norm in training, as the pass that merges the moments of a batch takes it."""

from dataclasses import dataclass, field
from typing import Any

Array = Any  # NumPy's or the GPU's


@dataclass(eq=False)
class Norm:
    """What becomes of the mean and the variance of a batch, in one launch on the GPU.

    ``scale`` and ``shift`` are set, to those of `minispiral.kernels.batchnorm.scale_shift`. The
    running moments are changed in place::

        running = (1 - momentum) * running + momentum * batch

    with the unbiased variance, ``m / (m - 1)`` times that of the ``m`` values of a channel; a
    single value leaves them as they are. Vectors are ``(c,)`` and of one dtype; ValueError where
    they are not.
    """

    gamma: Array
    beta: Array
    eps: float
    running_mean: Array
    running_var: Array
    momentum: float
    scale: Array = field(init=False)
    shift: Array = field(init=False)

    def check(self, mean: Array) -> None:
        """ValueError unless the vectors are of the shape and dtype of the batch's mean."""
        for vector in (self.gamma, self.beta, self.running_mean, self.running_var):
            if (vector.shape, vector.dtype) != (mean.shape, mean.dtype):
                raise ValueError(
                    f"expected vectors of {mean.dtype} and shape {mean.shape} for the norm, "
                    f"got {vector.dtype} {vector.shape}"
                )
