"""The kernels in CUDA C: the same functions as in `minispiral.kernels.cpu`.

They take and return arrays of the GPU of `minispiral.kernels.cuda.launch`, contiguous, float32 or
float64. Nothing is read back from the GPU: what the NumPy twins return as numbers are arrays here.

No result depends on the GPU it was computed on, nor on which of its threads comes first: every sum
has an order that the shapes alone decide.

Importing the package declares every kernel in `minispiral.kernels.cuda.table`.
"""

from . import adam, arithmetic, batchnorm, conv2d, layout, losses, pooling, statistics, tiles

__all__ = [
    "adam",
    "arithmetic",
    "batchnorm",
    "conv2d",
    "layout",
    "losses",
    "pooling",
    "statistics",
    "tiles",
]
