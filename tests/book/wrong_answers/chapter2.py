"""Typical wrong answers to the exercises of chapter 2.

Each docstring is a regular expression that the refusal must match.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def wrong_2_1_cropped(gy: Array, pad: int) -> Array:
    """its inner part"""
    return gy[:, pad:-pad, pad:-pad]


def wrong_2_1_edge_repeated(gy: Array, pad: int) -> Array:
    """the pixel which was copied there"""
    # The adjoint of NumPy's "symmetric" padding, which repeats the outermost pixel
    for axis in (1, 2):
        g = np.moveaxis(gy, axis, 0)
        n = len(g) - 2 * pad
        gx = g[pad : pad + n].copy()
        gx[:pad] += g[:pad][::-1]
        gx[n - pad :] += g[pad + n :][::-1]
        gy = np.moveaxis(gx, 0, axis)
    return gy


def wrong_2_2_overwritten(
    gy: Array, w: Array, out_hw: tuple[int, int], stride: int, dilation: int
) -> Array:
    """np.ones"""
    n, oh, ow, _ = gy.shape
    gx = np.zeros((n, *out_hw, w.shape[2]))
    for i, j in np.ndindex(oh, ow):
        for p, q in np.ndindex(*w.shape[:2]):
            gx[:, stride * i + dilation * p, stride * j + dilation * q] = gy[:, i, j] @ w[p, q].T
    return gx


def wrong_2_2_dense(
    gy: Array, w: Array, out_hw: tuple[int, int], stride: int, dilation: int
) -> Array:
    """the taps must lie further apart"""
    n, oh, ow, _ = gy.shape
    gx = np.zeros((n, *out_hw, w.shape[2]))
    for i, j in np.ndindex(oh, ow):
        for p, q in np.ndindex(*w.shape[:2]):
            gx[:, stride * i + p, stride * j + q] += gy[:, i, j] @ w[p, q].T
    return gx


def wrong_2_2_without_rest(
    gy: Array, w: Array, out_hw: tuple[int, int], stride: int, dilation: int
) -> Array:
    """returned the shape"""
    # The smallest image that has this gy, whatever ``out_hw`` says
    (n, oh, ow, _), (kh, kw, big, _) = gy.shape, w.shape
    h = stride * (oh - 1) + dilation * (kh - 1) + 1
    v = stride * (ow - 1) + dilation * (kw - 1) + 1
    gx = np.zeros((n, h, v, big))
    for i, j in np.ndindex(oh, ow):
        for p, q in np.ndindex(kh, kw):
            gx[:, stride * i + dilation * p, stride * j + dilation * q] += gy[:, i, j] @ w[p, q].T
    return gx


def wrong_2_3_not_turned(w: Array, pad: int) -> tuple[Array, int]:
    """the first tap of w"""
    return w.swapaxes(2, 3), len(w) - 1 - pad


def wrong_2_3_channels_kept(w: Array, pad: int) -> tuple[Array, int]:
    """which come first"""
    return w[::-1, ::-1], len(w) - 1 - pad


def wrong_2_3_padding_kept(w: Array, pad: int) -> tuple[Array, int]:
    """returned the padding"""
    return w[::-1, ::-1].swapaxes(2, 3), pad
