"""Two-dimensional convolution on the GPU; the formulas are in `minispiral.kernels.conv2d`."""

from typing import Any

import numpy as np

from ..conv2d import _check_dtypes as check_dtypes
from ..conv2d import _check_output as check_output
from ..conv2d import _check_weights as check_weights
from ..conv2d import _output_hw as output_hw
from ..launch import Array, blocks, ctype, empty, launch
from . import batchnorm

_THREADS = 256
_FULL = 1 << 18  # threads that keep any GPU busy
_MOST_PARTS = 256  # of the sums of a weight gradient

# The struct that the kernels take their sizes in.
_SIZES = ("n", "h", "w", "big", "small", "kh", "kw", "oh", "ow", "stride", "pad")
_CONVOLUTION = np.dtype([(name, np.int32) for name in _SIZES])


def conv2d(x: Array, w: Array, stride: int = 1, pad: int = 0, moments: bool = False) -> Any:
    """Slide the kernel over the image: ``x (n, h, w, big)`` to ``y (n, oh, ow, small)``.

    With ``moments`` the result is ``(y, mean, var)``. ValueError for shapes that do not fit.
    """
    kh, kw, big, small = check_weights(w)
    check_dtypes(x, w)
    if x.ndim != 4 or x.shape[-1] != big:
        raise ValueError(f"expected an image (n, h, w, {big}), got shape {x.shape}")
    n, h, v, _ = x.shape
    oh, ow = output_hw((h, v), (kh, kw), stride, pad)
    sizes = _struct(n, h, v, big, small, kh, kw, oh, ow, stride, pad)
    y = empty((n, oh, ow, small), x.dtype)
    grid = (blocks(y.size, _THREADS),)
    launch(f"conv2d<{ctype(x.dtype)}>", grid, sizes, x, w, np.int32(y.size), y)
    return (y, *batchnorm.moments(y)) if moments else y


def conv2d_input_grad(
    gy: Array,
    w: Array,
    out_hw: tuple[int, int],
    stride: int = 1,
    pad: int = 0,
    moments: bool = False,
) -> Any:
    """The adjoint of `conv2d`: ``gy (n, oh, ow, small)`` to ``gx (n, *out_hw, big)``.

    With ``moments`` the result is ``(gx, mean, var)``. ValueError for shapes that do not fit.
    """
    kh, kw, big, small = check_weights(w)
    check_dtypes(gy, w)
    n, (h, v) = gy.shape[0], out_hw
    oh, ow = output_hw((h, v), (kh, kw), stride, pad)
    check_output(gy, (n, oh, ow))
    if gy.shape[-1] != small:
        raise ValueError(f"gy {gy.shape} has {gy.shape[-1]} channels, the weights give {small}")
    sizes = _struct(n, h, v, big, small, kh, kw, oh, ow, stride, pad)
    gx = empty((n, h, v, big), gy.dtype)
    grid = (blocks(gx.size, _THREADS),)
    launch(f"conv2d_input_grad<{ctype(gy.dtype)}>", grid, sizes, gy, w, np.int32(gx.size), gx)
    return (gx, *batchnorm.moments(gx)) if moments else gx


def conv2d_weight_grad(
    x: Array, gy: Array, kernel_hw: tuple[int, int], stride: int = 1, pad: int = 0
) -> Array:
    """Gradient of the weights, ``(kh, kw, big, small)``; see the NumPy twin.

    ValueError for shapes that do not fit.
    """
    if x.ndim != 4:
        raise ValueError(f"expected an image (n, h, w, big), got shape {x.shape}")
    check_dtypes(x, gy)
    (n, h, v, big), (kh, kw), small = x.shape, kernel_hw, gy.shape[-1]
    oh, ow = output_hw((h, v), kernel_hw, stride, pad)
    check_output(gy, (n, oh, ow))
    sizes = _struct(n, h, v, big, small, kh, kw, oh, ow, stride, pad)
    t, gw = ctype(x.dtype), empty((kh, kw, big, small), x.dtype)
    count = np.int32(gw.size)
    # The rows of gy are shared among as many blocks as it takes to keep the GPU busy.
    across = blocks(gw.size, _THREADS)
    along = min(n * oh, _MOST_PARTS, max(1, _FULL // (across * _THREADS)))
    parts = empty((along, gw.size), x.dtype)
    launch(f"conv2d_weight_grad<{t}>", (across, along), sizes, x, gy, count, parts)
    launch(f"sum_parts<{t}>", (across,), parts, np.int32(along), count, gw)
    return gw


def _struct(*sizes: int) -> Any:
    return np.array(sizes, _CONVOLUTION)
