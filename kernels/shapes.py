"""Which shapes fit each other, on any device; ValueError names what does not."""

from typing import Any, NamedTuple

Array = Any  # NumPy's or CuPy's


def output_hw(
    image_hw: tuple[int, int], kernel_hw: tuple[int, int], stride: int, pad: int
) -> tuple[int, int]:
    """``(oh, ow)``, the size of the smaller image: ``(side + 2*pad - k) // stride + 1``."""
    if stride < 1 or pad < 0:
        raise ValueError(f"expected stride >= 1 and pad >= 0, got stride {stride}, pad {pad}")
    (h, w), (kh, kw) = image_hw, kernel_hw
    oh, ow = (h + 2 * pad - kh) // stride + 1, (w + 2 * pad - kw) // stride + 1
    if oh < 1 or ow < 1:
        raise ValueError(
            f"a kernel of height {kh} and width {kw} does not fit an image of height {h} "
            f"and width {w} with padding {pad}"
        )
    return oh, ow


def transposed_hw(
    hw: tuple[int, int], kernel_hw: tuple[int, int], stride: int, pad: int
) -> tuple[int, int]:
    """The size of a transposed convolution's output: ``stride * (side - 1) + k - 2*pad``."""
    (h, w), (kh, kw) = hw, kernel_hw
    return stride * (h - 1) + kh - 2 * pad, stride * (w - 1) + kw - 2 * pad


class Convolution(NamedTuple):
    """The sizes of a convolution, with the stride and padding that connect them.

    The larger image is ``(n, h, w, big)``, the weights are ``(kh, kw, big, small)``, the smaller
    image is ``(n, oh, ow, small)``.
    """

    n: int
    h: int
    w: int
    big: int
    small: int
    kh: int
    kw: int
    oh: int
    ow: int
    stride: int
    pad: int

    @property
    def image_shape(self) -> tuple[int, int, int, int]:
        return self.n, self.h, self.w, self.big

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return self.kh, self.kw, self.big, self.small

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        return self.n, self.oh, self.ow, self.small


def convolution(
    image_shape: tuple[int, ...], weight_shape: tuple[int, ...], stride: int, pad: int
) -> Convolution:
    """The sizes of the convolution of an image ``(n, h, w, big)``."""
    if len(weight_shape) != 4:
        raise ValueError(f"expected weights (kh, kw, big, small), got shape {weight_shape}")
    kh, kw, big, small = weight_shape
    if len(image_shape) != 4 or image_shape[3] != big:
        raise ValueError(f"expected an image (n, h, w, {big}), got shape {image_shape}")
    n, h, w, _ = image_shape
    oh, ow = output_hw((h, w), (kh, kw), stride, pad)
    return Convolution(n, h, w, big, small, kh, kw, oh, ow, stride, pad)


def check_dtypes(*arrays: Array) -> None:
    """Nothing is promoted silently: all arrays have one floating dtype."""
    dtypes = [array.dtype for array in arrays]
    if len(set(dtypes)) > 1 or dtypes[0].kind not in "fc":
        raise ValueError(
            f"expected one floating dtype throughout, got {' and '.join(map(str, dtypes))}"
        )


def check_output(gy: Array, conv: Convolution) -> None:
    """``gy`` has the shape ``(n, oh, ow, small)`` of the convolution's output."""
    if gy.shape != conv.output_shape:
        n, oh, ow, small = conv.output_shape
        raise ValueError(
            f"gy of shape {gy.shape} does not belong to this convolution, whose output "
            f"is (n={n}, oh={oh}, ow={ow}, small={small})"
        )


def check_mask(logits: Array, mask: Array) -> None:
    """A boolean for each of the logits."""
    if mask.shape != logits.shape or mask.dtype != "bool":
        raise ValueError(
            f"expected a boolean mask of the logits' shape {logits.shape}, "
            f"got {mask.dtype} of shape {mask.shape}"
        )
