"""Typical wrong answers to the exercises of chapter 2.

Each docstring is a regular expression that the refusal must match.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.book.told import told

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
    """keeps what came last where taps of several windows meet"""
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


def _origins(h: int, w: int, pad: int, mode: str = "reflect") -> Array:
    """Which pixel each pixel of the padded image was copied from."""
    return np.pad(np.arange(h * w).reshape(h, w), pad, mode)


def _added(gy: Array, origins: Array, h: int, w: int) -> Array:
    gx = np.zeros((len(gy), h * w, gy.shape[3]))
    for at in np.ndindex(*origins.shape):
        gx[:, origins[at]] += gy[:, at[0], at[1]]
    return gx.reshape(len(gy), h, w, -1)


def wrong_2_1_overwritten(gy: Array, pad: int) -> Array:
    """nothing is left: add what arrives at the rim, and overwrite nothing"""
    h, w = gy.shape[1] - 2 * pad, gy.shape[2] - 2 * pad
    gx = np.zeros((len(gy), h * w, gy.shape[3]))
    for at, origin in np.ndenumerate(_origins(h, w, pad)):
        gx[:, origin] = gy[:, at[0], at[1]]
    return gx.reshape(len(gy), h, w, -1)


def wrong_2_1_rows_only(gy: Array, pad: int) -> Array:
    """nothing is left|should give a single 1"""
    h, w = gy.shape[1] - 2 * pad, gy.shape[2] - 2 * pad
    inner = gy[:, :, pad : pad + w]
    return _added(inner, _origins(h, w, pad)[:, pad : pad + w], h, w)


def wrong_2_1_wraps_around(gy: Array, pad: int) -> Array:
    """that is the pixel which was copied there"""
    h, w = gy.shape[1] - 2 * pad, gy.shape[2] - 2 * pad
    return _added(gy, _origins(h, w, pad, "wrap"), h, w)


def wrong_2_1_averaged(gy: Array, pad: int) -> Array:
    """should give a single 1 at"""
    h, w = gy.shape[1] - 2 * pad, gy.shape[2] - 2 * pad
    origins = _origins(h, w, pad)
    return _added(gy, origins, h, w) / np.bincount(origins.ravel()).reshape(h, w, 1)


wrong_2_1_pads_again = told(
    "returned the shape",
    lambda gy, pad: np.pad(gy, ((0, 0), (pad, pad), (pad, pad), (0, 0)), "reflect"),
)
wrong_2_1_a_list = told("returned list, expected an array", lambda gy, pad: gy.tolist())


def scattered(
    gy: Array, w: Array, out_hw: tuple[int, int], stride: int, dilation: int, sign: int = 1
) -> Array:
    gx = np.zeros((len(gy), *out_hw, w.shape[2]))
    for i, j, p, q in np.ndindex(*gy.shape[1:3], *w.shape[:2]):
        row, col = stride * i + dilation * p, stride * j + dilation * q
        if row < out_hw[0] and col < out_hw[1]:
            gx[:, row, col] += sign * gy[:, i, j] @ w[p, q].T
    return gx


wrong_2_2_stride_forgotten = told(
    "is what stride 1 gives", lambda gy, w, hw, s, d: scattered(gy, w, hw, 1, d)
)
wrong_2_2_exchanged = told(
    "takes the stride for the dilation", lambda gy, w, hw, s, d: scattered(gy, w, hw, d, s)
)
wrong_2_2_turned = told(
    "turns the kernel around", lambda gy, w, hw, s, d: scattered(gy, w[::-1, ::-1], hw, s, d)
)
wrong_2_2_sign = told(
    "-1 times as large as it should be",
    lambda gy, w, hw, s, d: scattered(gy, w, hw, s, d, sign=-1),
)
wrong_2_2_width_first = told(
    "the axes are in another order",
    lambda gy, w, hw, s, d: scattered(gy, w, hw, s, d).swapaxes(1, 2),
)
wrong_2_2_channels_not_transposed = told(
    "fails with ValueError",
    lambda gy, w, hw, s, d: scattered(gy, w.swapaxes(2, 3), hw, s, d),
)

wrong_2_3_rows_only = told(
    "along the rows and along the columns",
    lambda w, pad: (w[::-1].swapaxes(2, 3), len(w) - 1 - pad),
)
wrong_2_3_off_by_one = told(
    "returned the padding", lambda w, pad: (w[::-1, ::-1].swapaxes(2, 3), len(w) - pad)
)
wrong_2_3_weights_alone = told(
    r"returned ndarray, expected the pair \(v, new_pad\)",
    lambda w, pad: w[::-1, ::-1].swapaxes(2, 3),
)
wrong_2_3_transposed = told(
    "the axes are in another order|must make the first tap",
    lambda w, pad: (w.T, len(w) - 1 - pad),
)
wrong_2_3_padding_is_a_float = told(
    "returned the padding 2.0", lambda w, pad: (w[::-1, ::-1].swapaxes(2, 3), len(w) - 1.0 - pad)
)
wrong_2_3_half = told(
    "0.5 times as large as it should be",
    lambda w, pad: (w[::-1, ::-1].swapaxes(2, 3) / 2, len(w) - 1 - pad),
)
