"""Checks of chapter 2: adjoints of linear operations on images."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.exercises import Wrong, exercise
from minispiral.exercises.arrays import expect, expect_pair
from minispiral.kernels import reference
from minispiral.kernels.shapes import output_hw

Array = NDArray[np.float64]


def _mirror_pad(x: Array, pad: int) -> Array:
    return np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), "reflect")


@exercise("2.1", function="mirror_pad_grad", difficulty=2)
def mirror_pad_grad(answer: Callable[..., Any]) -> None:
    """The adjoint of mirror padding."""
    rng = np.random.default_rng()
    for shape, pad in (((1, 3, 4, 1), 1), ((2, 4, 5, 3), 2), ((1, 4, 4, 2), 3)):
        n, h, w, c = shape
        # The matrix of the adjoint is the transpose of the matrix of the padding.
        units = np.eye(h * w).reshape(h * w, h, w, 1)
        padding = _mirror_pad(units, pad).reshape(h * w, -1)
        gy = rng.standard_normal((n, h + 2 * pad, w + 2 * pad, c))
        flat = gy.transpose(0, 3, 1, 2).reshape(n, c, -1)
        expected = (flat @ padding.T).reshape(n, c, h, w).transpose(0, 2, 3, 1)
        result = answer(gy.copy(), pad)
        if isinstance(result, np.ndarray) and result.shape == shape:
            if np.allclose(result, gy[:, pad : pad + h, pad : pad + w]):
                raise Wrong(
                    f"for gy of shape {gy.shape} and pad = {pad} you return its inner part, but "
                    f"the gradient of the rim belongs to the pixels that were copied there"
                )
            _point_at_pixel(answer, shape, pad)
        expect(result, expected, f"for random gy of shape {gy.shape}, mirror_pad_grad(gy, {pad})")


def _point_at_pixel(answer: Callable[..., Any], shape: tuple[int, ...], pad: int) -> None:
    """Raise `Wrong` for the first single 1 in gy that goes back to the wrong pixel."""
    n, h, w, c = shape
    places = np.arange(h * w, dtype=np.float64).reshape(1, h, w, 1)
    source = _mirror_pad(places, pad)  # which pixel each was copied from
    for at in np.ndindex(h + 2 * pad, w + 2 * pad):
        gy = np.zeros((n, h + 2 * pad, w + 2 * pad, c))
        gy[0, *at, 0] = 1
        expected = np.zeros(shape)
        origin = divmod(int(source[0, *at, 0]), w)
        expected[0, *origin, 0] = 1
        found = answer(gy, pad)
        if not np.any(found):
            raise Wrong(
                f"of gy of shape {gy.shape} with a single 1 at [0, {at[0]}, {at[1]}, 0] and pad = "
                f"{pad} nothing is left: add what arrives at the rim, and overwrite nothing"
            )
        if not np.allclose(found, expected):
            raise Wrong(
                f"gy of shape {gy.shape} with a single 1 at [0, {at[0]}, {at[1]}, 0] and pad = "
                f"{pad} should give a single 1 at [0, {origin[0]}, {origin[1]}, 0]: that is the "
                f"pixel which was copied there"
            )


@exercise("2.2", function="dilated_input_grad", difficulty=1)
def dilated_input_grad(answer: Callable[..., Any]) -> None:
    """The adjoint of a dilated convolution."""
    rng = np.random.default_rng()
    cases = [  # out_hw, kernel_hw, stride, dilation; in the last, no tap reaches the last pixels
        ((5, 6), (3, 2), 1, 1),
        ((7, 8), (2, 3), 1, 2),
        ((9, 10), (3, 2), 2, 3),
        ((11, 12), (3, 3), 3, 2),
    ]
    for out_hw, (kh, kw), stride, dilation in cases:
        spread_hw = dilation * (kh - 1) + 1, dilation * (kw - 1) + 1
        oh, ow = output_hw(out_hw, spread_hw, stride, 0)
        for n, big, small in ((1, 1, 1), (2, 3, 2)):
            if n == 1:
                gy, w = np.ones((n, oh, ow, small)), np.ones((kh, kw, big, small))
                given = f"for gy = np.ones({gy.shape}) and w = np.ones({w.shape})"
            else:
                gy, w = rng.standard_normal((n, oh, ow, small)), rng.uniform(1, 2, (kh, kw, 3, 2))
                given = f"for random gy {gy.shape} and w {w.shape}"
            # A dilated kernel is a larger one with zeros between its taps.
            spread = np.zeros((*spread_hw, big, small))
            spread[::dilation, ::dilation] = w
            expected = np.asarray(reference.conv2d_input_grad(gy, spread, out_hw, stride))
            result = answer(gy.copy(), w.copy(), out_hw, stride, dilation)
            call = f"{given}, dilated_input_grad(gy, w, {out_hw}, {stride}, {dilation})"
            known = {
                "keeps what came last where taps of several windows meet: add it up": _scattered(
                    gy, w, out_hw, stride, dilation, add=False
                ),
                "is what dilation 1 gives: the taps must lie further apart": _scattered(
                    gy, w, out_hw, stride, 1
                ),
                "is what stride 1 gives: the windows must lie further apart": _scattered(
                    gy, w, out_hw, 1, dilation
                ),
                "takes the stride for the dilation, and the dilation for the stride": _scattered(
                    gy, w, out_hw, dilation, stride
                ),
                "turns the kernel around, but the taps stay where they were": _scattered(
                    gy, w[::-1, ::-1], out_hw, stride, dilation
                ),
            }
            expect(result, expected, call, known=known)


def _scattered(
    gy: Array, w: Array, out_hw: tuple[int, int], stride: int, dilation: int, add: bool = True
) -> Array:
    """The loop of the adjoint, with what lies outside left out; without ``add``, overwritten."""
    gx = np.zeros((len(gy), *out_hw, w.shape[2]))
    for i, j, p, q in np.ndindex(*gy.shape[1:3], *w.shape[:2]):
        row, col = stride * i + dilation * p, stride * j + dilation * q
        if row < out_hw[0] and col < out_hw[1]:
            gx[:, row, col] = add * gx[:, row, col] + gy[:, i, j] @ w[p, q].T
    return gx


@exercise("2.3", function="turned", difficulty=3)
def turned(answer: Callable[..., Any]) -> None:
    """The adjoint of stride 1 as a convolution."""
    offset = int(np.random.default_rng().integers(1, 100))
    for size, pad, big, small in ((3, 0, 1, 1), (3, 1, 3, 2), (2, 0, 2, 3), (4, 3, 2, 2)):
        shape = size, size, big, small
        w = np.arange(np.prod(shape), dtype=np.float64).reshape(shape) + offset
        result = answer(w.copy(), pad)
        call = f"for w = np.arange({w.size}.).reshape{w.shape} + {offset}, turned(w, {pad})"
        v, new_pad = expect_pair(result, call, "(v, new_pad)")
        if not isinstance(new_pad, int | np.integer) or new_pad != size - 1 - pad:
            out = 6 + 2 * pad - size + 1
            raise Wrong(
                f"{call} returned the padding {new_pad!r}: an image of side 6 has gy of side {out} "
                f"then, and a convolution of gy with that padding does not give side 6 again"
            )
        if isinstance(v, np.ndarray) and v.shape == w.shape and big != small:
            raise Wrong(
                f"{call} returned weights of the same shape: gy has {small} channels, which come "
                f"first in the weights of a convolution of gy"
            )
        expected = w[::-1, ::-1].swapaxes(2, 3)
        for kernel in (w, w[::-1], w[:, ::-1]):
            if isinstance(v, np.ndarray) and np.array_equal(v, kernel.swapaxes(2, 3)):
                raise Wrong(
                    f"{call} must make the first tap of w the last of v, along the rows and along "
                    f"the columns"
                )
        expect(v, expected, f"{call}[0]")
