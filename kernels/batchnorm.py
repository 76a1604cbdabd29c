"""Batch normalization, alone and followed by a ReLU.

Over all axes but the last, with ``m`` values per channel::

    mean = sum(x) / m            var = sum((x - mean)**2) / m
    xhat = (x - mean) / sqrt(var + eps)            y = gamma * xhat + beta

and backward, with sums over the same axes::

    gbeta = sum(gy)    ggamma = sum(gy * xhat)
    gx = gamma / sqrt(var + eps) * (gy - gbeta / m - xhat * ggamma / m)

(Ioffe and Szegedy 2015). The ``_relu`` functions do the same for ``max(y, 0)``. Their backward pass
recomputes the ReLU's mask from ``x``, so nothing but ``x`` and two vectors is kept in between.

``x``, ``y`` and their gradients are ``(..., c)``, all vectors ``(c,)``, and all lie on the CPU or
all on the GPU. ValueError where shapes do not fit. Where processes share the batch
(`minispiral.kernels.collective`), ``m``, the moments and the sums in ``gx`` are those of the whole
batch, ``gbeta`` and ``ggamma`` the process's part of theirs.
"""

from typing import Any

from numpy.typing import DTypeLike

from . import collective
from .arrays import on_gpu
from .cpu import batchnorm as cpu
from .cuda import batchnorm as cuda
from .norm import Norm

Array = Any  # NumPy's or the GPU's


def moments(x: Array, norm: Norm | None = None) -> tuple[Array, Array]:
    """``mean`` and biased variance ``var`` of each channel, in the dtype of ``x``.

    With ``norm`` its scale and shift are set, and its running moments moved, in the same pass.
    """
    twin = cuda if on_gpu(x) else cpu
    mean, var = twin.moments(x, norm)
    return mean, var


def values_per_channel(x: Array) -> int:
    """``m``, the number of values that the moments of ``x`` are taken over."""
    return collective.whole_size(x) // int(x.shape[-1])


def scale_shift(
    dtype: DTypeLike, mean: Array, var: Array, gamma: Array, beta: Array, eps: float
) -> tuple[Array, Array]:
    """The vectors, in this dtype, with which `normalize` is ``scale * x + shift``."""
    _check_vectors(mean, var, gamma, beta)
    twin = cuda if on_gpu(mean) else cpu
    scale, shift = twin.scale_shift(dtype, mean, var, gamma, beta, eps)
    return scale, shift


def normalize(x: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float) -> Array:
    """``gamma * (x - mean) / sqrt(var + eps) + beta``."""
    _check_vectors(x, mean, var, gamma, beta)
    twin = cuda if on_gpu(x) else cpu
    return twin.normalize(x, mean, var, gamma, beta, eps, relu=False)


def normalize_relu(
    x: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float
) -> Array:
    """``max(normalize(x), 0)`` in one pass."""
    _check_vectors(x, mean, var, gamma, beta)
    twin = cuda if on_gpu(x) else cpu
    return twin.normalize(x, mean, var, gamma, beta, eps, relu=True)


def normalize_grad(
    x: Array,
    gy: Array,
    mean: Array,
    var: Array,
    gamma: Array,
    eps: float,
    constant: bool = False,
) -> tuple[Array, Array, Array]:
    """``gx, ggamma, gbeta`` of `normalize`.

    ``mean`` and ``var`` are the moments of ``x`` or, with ``constant``, any given numbers; then
    ``gx = gamma / sqrt(var + eps) * gy``.
    """
    beta = gamma  # any vector: only the ReLU's mask depends on it
    return _normalize_grad(x, gy, mean, var, gamma, beta, eps, constant, False)


def normalize_relu_grad(
    x: Array,
    gy: Array,
    mean: Array,
    var: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    constant: bool = False,
    sums: Array | None = None,
) -> tuple[Array, Array, Array]:
    """``gx, ggamma, gbeta`` of `normalize_relu`; ``constant`` as for `normalize_grad`.

    ``sums`` are the parts of `minispiral.kernels.epilogues.GradSums`, where the convolution that
    computed ``gy`` took them on the GPU: then one pass over ``x`` and ``gy`` is enough.
    """
    return _normalize_grad(x, gy, mean, var, gamma, beta, eps, constant, True, sums)


def _normalize_grad(
    x: Array,
    gy: Array,
    mean: Array,
    var: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    constant: bool,
    relu: bool,
    sums: Array | None = None,
) -> tuple[Array, Array, Array]:
    _check_vectors(x, mean, var, gamma, beta)
    if gy.shape != x.shape:
        raise ValueError(f"gy has shape {gy.shape}, x has shape {x.shape}")
    arguments = x, gy, mean, var, gamma, beta, eps, values_per_channel(x), constant, relu
    if on_gpu(x):
        _check_sums(x, sums)
        gx, ggamma, gbeta = cuda.normalize_grad(*arguments, sums)
    else:
        gx, ggamma, gbeta = cpu.normalize_grad(*arguments)
    return gx, ggamma, gbeta


def _check_sums(x: Array, sums: Array | None) -> None:
    if sums is not None and (sums.ndim != 3 or sums.shape[1:] != (x.shape[-1], 2)):
        raise ValueError(
            f"expected sums (parts, {x.shape[-1]}, 2) for x of shape {x.shape}, got {sums.shape}"
        )


def _check_vectors(x: Array, *vectors: Array) -> None:
    for vector in vectors:
        if vector.shape != x.shape[-1:]:
            raise ValueError(
                f"expected vectors of {x.shape[-1]} channels for x of shape {x.shape}, "
                f"got shape {vector.shape}"
            )
