"""Max pooling without padding: the largest value of each window, and where it was.

For image ``b``, pixel ``(i, j)`` of the output and channel ``c``::

    y[b,i,j,c] = max_pq  x[b, stride*i + p, stride*j + q, c]      with 0 <= p, q < size

``argmax`` is the ``p*size + q`` of the maximum, of the first one where there are several.
"""

from typing import Any

from .arrays import on_gpu
from .cpu import pooling as cpu
from .cuda import pooling as cuda

Array = Any  # NumPy's or the GPU's


def max_pool2d(x: Array, size: int, stride: int) -> tuple[Array, Array]:
    """``y`` and ``argmax`` (int32), both ``(n, oh, ow, c)``, of ``x (n, h, w, c)``.

    ``oh = (h - size) // stride + 1``, likewise ``ow``. ValueError where the window does not fit.
    """
    if x.ndim != 4:
        raise ValueError(f"expected an image (n, h, w, c), got shape {x.shape}")
    out_hw = _output_hw(x.shape[1:3], size, stride)
    twin = cuda if on_gpu(x) else cpu
    y, argmax = twin.max_pool2d(x, out_hw, size, stride)
    return y, argmax


def max_pool2d_grad(
    gy: Array, argmax: Array, in_hw: tuple[int, int], size: int, stride: int
) -> Array:
    """``gx (n, *in_hw, c)``: each ``gy (n, oh, ow, c)`` goes to the pixel its maximum came from.

    A pixel that is the maximum of several windows collects from all of them. ValueError where the
    shapes do not belong together.
    """
    if gy.ndim != 4 or argmax.shape != gy.shape:
        raise ValueError(
            f"expected gy and argmax (n, oh, ow, c), got shapes {gy.shape} and {argmax.shape}"
        )
    _, oh, ow, _ = gy.shape
    if (oh, ow) != _output_hw(in_hw, size, stride):
        raise ValueError(
            f"gy of height {oh} and width {ow} does not belong to an image of height {in_hw[0]} "
            f"and width {in_hw[1]} under windows of side {size} at stride {stride}"
        )
    twin = cuda if on_gpu(gy) else cpu
    return twin.max_pool2d_grad(gy, argmax, in_hw, size, stride)


def _output_hw(in_hw: tuple[int, int], size: int, stride: int) -> tuple[int, int]:
    if size < 1 or stride < 1:
        raise ValueError(f"expected size >= 1 and stride >= 1, got size {size}, stride {stride}")
    h, w = in_hw
    if size > h or size > w:
        raise ValueError(f"a window of side {size} does not fit an image of height {h}, width {w}")
    return (h - size) // stride + 1, (w - size) // stride + 1
