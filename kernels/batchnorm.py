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

Array = Any  # NumPy's or the GPU's


def moments(x: Array) -> tuple[Array, Array]:
    """``mean`` and biased variance ``var`` of each channel, in the dtype of ``x``."""
    twin = cuda if on_gpu(x) else cpu
    mean, var = twin.moments(x)
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
    return _normalize_grad(x, gy, mean, var, gamma, beta, eps, constant, relu=False)


def normalize_relu_grad(
    x: Array,
    gy: Array,
    mean: Array,
    var: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    constant: bool = False,
) -> tuple[Array, Array, Array]:
    """``gx, ggamma, gbeta`` of `normalize_relu`; ``constant`` as for `normalize_grad`."""
    return _normalize_grad(x, gy, mean, var, gamma, beta, eps, constant, relu=True)


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
) -> tuple[Array, Array, Array]:
    _check_vectors(x, mean, var, gamma, beta)
    if gy.shape != x.shape:
        raise ValueError(f"gy has shape {gy.shape}, x has shape {x.shape}")
    twin = cuda if on_gpu(x) else cpu
    vectors = mean, var, gamma, beta
    m = values_per_channel(x)
    gx, ggamma, gbeta = twin.normalize_grad(x, gy, *vectors, eps, m, constant, relu)
    return gx, ggamma, gbeta


def _check_vectors(x: Array, *vectors: Array) -> None:
    for vector in vectors:
        if vector.shape != x.shape[-1:]:
            raise ValueError(
                f"expected vectors of {x.shape[-1]} channels for x of shape {x.shape}, "
                f"got shape {vector.shape}"
            )
