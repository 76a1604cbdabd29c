"""The convolutions and the pooling of ONNX on the operations of minispiral.

Images are ``(n, c, h, w)`` in ONNX and ``(n, h, w, c)`` here; those of ONNX with one dimension,
``(n, c, w)``, are of height 1 here. Weights are ``(m, c, kh, kw)`` in ONNX and ``(kh, kw, c, m)``
here, whether the convolution is transposed or not.
"""

from collections.abc import Callable, Sequence

import numpy as np

from minispiral import ops
from minispiral.kernels.conv2d import conv2d_input_grad
from minispiral.tensor import Tensor
from tests.engine.onnx_values import OutOfScope, value_of

Sizes = Sequence[int]
Pads = list[tuple[int, int]]  # before and after, of height and of width


def conv(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sizes | None = None,
    group: int = 1,
    kernel_shape: Sizes | None = None,
    pads: Sizes | None = None,
    strides: Sizes | None = None,
) -> Tensor:
    images, weights, stride = image(x), kernel(w, dilations), one_stride(strides)
    sides = window_pads(images.shape[1:3], weights.shape[:2], stride, auto_pad, pads)
    pad = even(sides)
    images = images if pad else padded(images, sides)
    return back(grouped(lambda x, w: ops.conv2d(x, w, stride, pad), images, weights, b, group), x)


def conv_transpose(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sizes | None = None,
    group: int = 1,
    kernel_shape: Sizes | None = None,
    output_padding: Sizes | None = None,
    output_shape: Sizes | None = None,
    pads: Sizes | None = None,
    strides: Sizes | None = None,
) -> Tensor:
    images, weights, stride = image(x), kernel(w, dilations), one_stride(strides)
    extra = two(output_padding or [0], 0)
    sizes = zip(images.shape[1:3], weights.shape[:2], extra, strict=True)
    full = [stride * (n - 1) + k + e for n, k, e in sizes]
    if auto_pad.startswith("SAME"):
        output_shape = [stride * n for n in x.shape[2:]]
    if output_shape:
        wanted = two(output_shape, 1)
        sides = halves([a - n for a, n in zip(full, wanted, strict=True)], auto_pad)
    else:
        sides = given_pads(pads)
    pad = even(sides)
    hw = (full[0] - 2 * pad, full[1] - 2 * pad)

    def enlarge(x: Tensor, w: Tensor) -> Tensor:
        if any(extra):  # a size that only the kernel can be told
            return Tensor(conv2d_input_grad(x.data, w.data, hw, stride, pad))
        return ops.conv_transpose2d(x, w, stride, pad)

    y = grouped(enlarge, images, weights, b, group)
    if not pad:
        (top, bottom), (left, right) = sides
        y = Tensor(y.data[:, top : hw[0] - bottom, left : hw[1] - right])
    return back(y, x)


def max_pool(
    x: Tensor,
    *,
    kernel_shape: Sizes,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sizes | None = None,
    pads: Sizes | None = None,
    storage_order: int = 0,
    strides: Sizes | None = None,
) -> tuple[Tensor, Tensor]:
    """The maxima and their places in the whole input, counted along rows or along columns."""
    images, stride, size = image(x), one_stride(strides), kernel_shape[0]
    if set(dilations or [1]) != {1}:
        raise OutOfScope("dilated windows of a maximum")
    if len(set(kernel_shape)) > 1:
        raise OutOfScope("windows of a maximum that are not square")
    n, h, w, c = images.shape
    sides = window_pads((h, w), two(kernel_shape, 1), stride, auto_pad, pads)
    if len(kernel_shape) == 1:
        sides[0] = (0, size - 1)  # a row becomes as high as the window
    if ceil_mode:  # a last window may hang over the end, but not begin there
        for axis, (length, (before, after)) in enumerate(zip((h, w), sides, strict=True)):
            last = -(-(length + before + after - size) // stride)
            last -= last * stride >= length + before
            sides[axis] = before, max(after, last * stride + size - length - before)
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    function = ops.MaxPool2d(size, stride)
    y = function(padded(images, sides, lowest))
    i, j = np.divmod(function.argmax.astype(np.int64), size)
    row = stride * np.arange(y.shape[1])[:, None, None] + i - sides[0][0]
    column = stride * np.arange(y.shape[2])[:, None] + j - sides[1][0]
    place = column * h + row if storage_order else row * w + column
    place += h * w * np.arange(n * c).reshape(n, 1, 1, c)
    return back(y, x), back(value_of(place), x)


# Images and weights


def image(x: Tensor) -> Tensor:
    if x.data.ndim > 4:
        raise OutOfScope("images of three dimensions")
    return Tensor(np.moveaxis(x.data if x.data.ndim == 4 else x.data[:, :, None], 1, -1))


def back(y: Tensor, x: Tensor) -> Tensor:
    """The image ``y (n, h, w, c)`` in the layout of the input ``x``."""
    data = np.moveaxis(y.data, -1, 1)
    return value_of(data if x.data.ndim == 4 else data[:, :, 0])


def kernel(w: Tensor, dilations: Sizes | None) -> Tensor:
    """The weights ``(kh, kw, c, m)``, dilated by zeros between them."""
    taps = image(w).data.transpose(1, 2, 3, 0)
    dh, dw = two(dilations or [1, 1], 1)
    kh, kw, c, m = taps.shape
    dilated = np.zeros((dh * (kh - 1) + 1, dw * (kw - 1) + 1, c, m), taps.dtype)
    dilated[::dh, ::dw] = taps
    return Tensor(dilated)


def grouped(
    function: Callable[[Tensor, Tensor], Tensor], x: Tensor, w: Tensor, b: Tensor | None, group: int
) -> Tensor:
    """A convolution of each group of channels with its own weights, side by side, and the bias."""
    parts = (np.split(array.data, group, -1) for array in (x, w))
    y = ops.concatenate([function(*map(Tensor, pair)) for pair in zip(*parts, strict=True)])
    return y if b is None else y + b


# Sizes and padding


def two(values: Sizes, height: int) -> tuple[int, ...]:
    """An attribute of height and width, where a single one is that of the width."""
    return tuple(values) if len(values) == 2 else (height, *values)


def one_stride(strides: Sizes | None) -> int:
    if len(set(strides or [1])) > 1:
        raise OutOfScope("strides that differ between height and width")
    return strides[0] if strides else 1


def given_pads(pads: Sizes | None) -> Pads:
    pads = pads or [0, 0, 0, 0]
    pairs = list(zip(pads[: len(pads) // 2], pads[len(pads) // 2 :], strict=True))
    return pairs if len(pairs) == 2 else [(0, 0), *pairs]


def window_pads(
    hw: tuple[int, ...], size: Sizes, stride: int, auto_pad: str, pads: Sizes | None
) -> Pads:
    """As given, or such that the windows begin at every ``stride``-th pixel of the image."""
    if not auto_pad.startswith("SAME"):
        return given_pads(pads)
    covered = [(-(-n // stride) - 1) * stride + k for n, k in zip(hw, size, strict=True)]
    return halves([max(a - n, 0) for a, n in zip(covered, hw, strict=True)], auto_pad)


def halves(totals: Sizes, auto_pad: str) -> Pads:
    """Padding shared out evenly, an odd one going before unless ``auto_pad`` is SAME_UPPER."""
    upper = auto_pad == "SAME_UPPER"
    return [(t // 2, t - t // 2) if upper else (t - t // 2, t // 2) for t in totals]


def even(pads: Pads) -> int:
    """The padding of all four sides where it is one, else 0."""
    sides = {side for pair in pads for side in pair}
    return sides.pop() if len(sides) == 1 else 0


def padded(x: Tensor, pads: Pads, value: float = 0) -> Tensor:
    for axis, sides in enumerate(pads, 1):
        shapes = [(*x.shape[:axis], side, *x.shape[axis + 1 :]) for side in sides]
        before, after = (Tensor(np.full(shape, value, x.dtype)) for shape in shapes)
        x = ops.concatenate([before, x, after], axis)
    return x
