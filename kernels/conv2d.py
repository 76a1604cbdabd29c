"""Two-dimensional convolution: three kernels that serve six purposes.

Images are ``(n, h, w, c)``, weights ``(kh, kw, big, small)``, where ``big`` counts the channels
of the larger image ``x`` and ``small`` those of the smaller image ``y``. For image ``b``, pixel
``(i, j)`` of ``y``, tap ``(p, q)`` of the kernel and channels ``c`` and ``k``::

    conv2d              y[b,i,j,k]      = sum_pqc  x[b,row,col,c] * w[p,q,c,k]
    conv2d_input_grad   gx[b,row,col,c] = sum_pqk  gy[b,i,j,k] * w[p,q,c,k]
    conv2d_weight_grad  gw[p,q,c,k]     = sum_bij  x[b,row,col,c] * gy[b,i,j,k]

    row = stride*i + p - pad,  col = stride*j + q - pad,  x = 0 outside the image

The second sums over all taps that connect a pixel ``(row, col)`` to some ``(i, j)``. As usual in
deep learning the kernel is not flipped: this is a cross-correlation.

The forward pass of a convolution is the first function, its backward pass the other two. The
forward pass of a transposed convolution is the second, its backward pass the first and, with the
roles of image and gradient exchanged, the third. Chapter 2 of the book derives all of this.

Where a function takes an image, it also takes one that is yet to be made: a `Normalized` image.

Arrays are float32 or float64 (on the CPU complex numbers work too), all of one dtype, and all on
the CPU or all on the GPU: that decides which twin runs, `minispiral.kernels.cpu.conv2d` or
`minispiral.kernels.cuda.conv2d`.
"""

from typing import Any

from .arrays import on_gpu
from .cpu import conv2d as cpu
from .cuda import conv2d as cuda
from .epilogues import Epilogue, GradSums, ScaleShiftReLU
from .normalized import Image, Normalized
from .shapes import check_dtypes, check_output, convolution

Array = Any  # NumPy's or the GPU's


def conv2d(
    x: Image, w: Array, stride: int = 1, pad: int = 0, epilogue: Epilogue | None = None
) -> Array:
    """Gather: ``x (n, h, w, big)`` to ``y (n, oh, ow, small)``.

    ``oh = (h + 2*pad - kh) // stride + 1``, likewise ``ow``. The ``epilogue`` is applied to each
    part of the output as it is computed. ValueError where shapes or dtypes do not fit.
    """
    check_dtypes(x, w)
    conv = convolution(x.shape, w.shape, stride, pad)
    _check_normalized(x)
    _check_epilogue(epilogue, conv.output_shape, x)
    twin = _twin(x)
    return twin.conv2d(x, w, conv, epilogue)


def conv2d_input_grad(
    gy: Image,
    w: Array,
    out_hw: tuple[int, int],
    stride: int = 1,
    pad: int = 0,
    epilogue: Epilogue | None = None,
) -> Array:
    """Scatter, the adjoint of `conv2d`: ``gy (n, oh, ow, small)`` to ``gx (n, *out_hw, big)``.

    Images of several sizes have an output of the same ``(oh, ow)``, so ``out_hw`` says which one
    is meant. ``epilogue`` as for `conv2d`. ValueError where shapes or dtypes do not fit.
    """
    check_dtypes(gy, w)
    conv = convolution((*gy.shape[:1], *out_hw, *w.shape[2:3]), w.shape, stride, pad)
    check_output(gy, conv)
    _check_normalized(gy)
    _check_epilogue(epilogue, conv.image_shape, gy)
    twin = _twin(gy)
    return twin.conv2d_input_grad(gy, w, conv, epilogue)


def conv2d_weight_grad(
    x: Image, gy: Image, kernel_hw: tuple[int, int], stride: int = 1, pad: int = 0
) -> Array:
    """Gradient of the weights, ``(*kernel_hw, big, small)``.

    ``x`` is the larger image ``(n, h, w, big)``, ``gy`` the gradient of the smaller one,
    ``(n, oh, ow, small)``. ValueError where shapes or dtypes do not fit.
    """
    check_dtypes(x, gy)
    conv = convolution(x.shape, (*kernel_hw, *x.shape[3:], *gy.shape[3:]), stride, pad)
    check_output(gy, conv)
    _check_normalized(x)
    _check_normalized(gy)
    twin = _twin(x)
    return twin.conv2d_weight_grad(x, gy, conv)


def _twin(image: Image) -> Any:
    return cuda if on_gpu(image.x if isinstance(image, Normalized) else image) else cpu


def _check_epilogue(epilogue: Epilogue | None, shape: tuple[int, ...], x: Image) -> None:
    """The arrays of an epilogue belong to an output of this shape, of the dtype of ``x``."""
    if isinstance(epilogue, ScaleShiftReLU):
        _check_vectors(x, shape[-1], scale=epilogue.scale, shift=epilogue.shift)
    if isinstance(epilogue, GradSums):
        if epilogue.image.shape != shape:
            raise ValueError(f"expected an image of shape {shape}, got {epilogue.image.shape}")
        check_dtypes(x, epilogue.image)
        _check_normalized(epilogue.image)


def _check_normalized(image: Image) -> None:
    """The vectors of an image that is yet to be made belong to its channels."""
    if isinstance(image, Normalized):
        vectors = {"scale": image.scale, "shift": image.shift, "mean": image.mean}
        _check_vectors(image, image.shape[-1], **vectors)


def _check_vectors(x: Image, channels: int, **vectors: Array) -> None:
    for name, vector in vectors.items():
        if vector.shape != (channels,):
            raise ValueError(f"expected {name} of {channels} channels, got shape {vector.shape}")
    check_dtypes(x, *vectors.values())
