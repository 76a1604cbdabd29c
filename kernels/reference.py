"""The meaning of each kernel, in the plainest loops.

Every function here has the name, the arguments and the results of a kernel in one of the files
beside this one, which does the same work fast. Two conventions keep the loops short: whatever
comes in, arithmetic and results are float64 (``adam`` alone writes into the arrays it was
given), and where all channels of a pixel meet the same fate they are written as one vector.
Arguments are taken to be right; it is the kernels that check them.

Arrays are NHWC. A convolution weight is ``(kh, kw, big, small)``: ``big`` counts the channels of
the larger image, ``small`` those of the smaller one.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Float64 = NDArray[np.float64]
Mask = NDArray[np.bool_]
Scalar = Callable[[float], float]

_FLOOR = 1e-12  # of the denominators in Eq. 7: gradients stay finite where every sigma is 0


def conv2d(x: Array, w: Array, stride: int = 1, pad: int = 0) -> Float64:
    """Convolve: every output pixel gathers from the window of ``x`` under the kernel.

        y[b, i, j] = sum over p, q of  x[b, row, col] @ w[p, q]
        row = i*stride + p - pad,  col = j*stride + q - pad,  x = 0 outside the image

    x is (n, h, w, big), w is (kh, kw, big, small), y is (n, oh, ow, small) with
    oh = (h + 2*pad - kh) // stride + 1 and ow likewise. As usual in deep learning, the kernel is
    not flipped: it is a cross-correlation.
    """
    kernel_hw, in_hw = w.shape[:2], x.shape[1:3]
    oh, ow = ((s + 2 * pad - k) // stride + 1 for s, k in zip(in_hw, kernel_hw, strict=True))
    x, w = _float64(x), _float64(w)
    y = np.zeros((len(x), oh, ow, w.shape[3]))
    for b in range(len(x)):
        for i, j, p, q, row, col in _taps((oh, ow), kernel_hw, in_hw, stride, pad):
            y[b, i, j] += x[b, row, col] @ w[p, q]
    return y


def conv2d_input_grad(
    gy: Array, w: Array, out_hw: Sequence[int], stride: int = 1, pad: int = 0
) -> Float64:
    """Convolve transposed: every pixel of ``gy`` scatters over the window under the kernel.

        gx[b, row, col] = sum over all i, j, p, q that lead there of  w[p, q] @ gy[b, i, j]

    with row and col as in `conv2d`, of which this is the adjoint:
    <conv2d(x, w), gy> = <x, conv2d_input_grad(gy, w)>. gy is (n, oh, ow, small), gx is
    (n, *out_hw, big). ``out_hw`` is given since several sizes of x lead to the same size of y.
    """
    gy, w = _float64(gy), _float64(w)
    gx = np.zeros((len(gy), *out_hw, w.shape[2]))
    for b in range(len(gy)):
        for i, j, p, q, row, col in _taps(gy.shape[1:3], w.shape[:2], out_hw, stride, pad):
            gx[b, row, col] += w[p, q] @ gy[b, i, j]
    return gx


def conv2d_weight_grad(
    x: Array, gy: Array, kernel_hw: Sequence[int], stride: int = 1, pad: int = 0
) -> Float64:
    """Correlate input and output gradient: the weight gradient of both convolutions.

        gw[p, q] = sum over b, i, j of  outer(x[b, row, col], gy[b, i, j])

    with row and col as in `conv2d`; <conv2d(x, w), gy> = <w, conv2d_weight_grad(x, gy)>.
    x is (n, h, w, big), gy is (n, oh, ow, small), gw is (*kernel_hw, big, small).
    """
    x, gy = _float64(x), _float64(gy)
    gw = np.zeros((*kernel_hw, x.shape[3], gy.shape[3]))
    for b in range(len(x)):
        for i, j, p, q, row, col in _taps(gy.shape[1:3], kernel_hw, x.shape[1:3], stride, pad):
            gw[p, q] += np.outer(x[b, row, col], gy[b, i, j])
    return gw


def _taps(
    small_hw: Sequence[int], kernel_hw: Sequence[int], big_hw: Sequence[int], stride: int, pad: int
) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Each small pixel (i, j) with each tap (p, q) and the big pixel (row, col) under it."""
    for i, j in np.ndindex(*small_hw):
        for p, q in np.ndindex(*kernel_hw):
            row, col = i * stride + p - pad, j * stride + q - pad
            if 0 <= row < big_hw[0] and 0 <= col < big_hw[1]:
                yield i, j, p, q, row, col


def moments(x: Array) -> tuple[Float64, Float64]:
    """Mean and biased variance of each channel (last axis) over all other axes.

    mean = sum(x) / N,  var = sum((x - mean)**2) / N,  N values a channel; both are (c,).
    """
    pixels = _float64(x).reshape(-1, x.shape[-1])
    mean = np.zeros(x.shape[-1])
    for pixel in pixels:
        mean += pixel / len(pixels)
    var = np.zeros(x.shape[-1])
    for pixel in pixels:
        var += (pixel - mean) ** 2 / len(pixels)
    return mean, var


def normalize(x: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float) -> Float64:
    """Batch normalisation: y = gamma * (x - mean) / sqrt(var + eps) + beta, channel by channel.

    x and y are (..., c); mean, var, gamma and beta are (c,).
    """
    mean, var, gamma, beta = (_float64(v) for v in (mean, var, gamma, beta))
    y = np.zeros(x.shape)
    for at in np.ndindex(*x.shape[:-1]):
        y[at] = gamma * (x[at] - mean) / np.sqrt(var + eps) + beta
    return y


def normalize_grad(
    x: Array, gy: Array, mean: Array, var: Array, gamma: Array, eps: float
) -> tuple[Float64, Float64, Float64]:
    """Gradients of `normalize` where mean and var are the moments of x itself.

    With xhat = (x - mean) / sqrt(var + eps), sums over the N values of a channel:

        gbeta  = sum(gy)
        ggamma = sum(gy * xhat)
        gx     = gamma / sqrt(var + eps) * (gy - gbeta / N - xhat * ggamma / N)

    Ioffe and Szegedy, Batch Normalization, ICML 2015, the gradients of Section 3.
    """
    mean, var, gamma = (_float64(v) for v in (mean, var, gamma))
    std = np.sqrt(var + eps)
    count = math.prod(x.shape[:-1])
    gbeta, ggamma = np.zeros(x.shape[-1]), np.zeros(x.shape[-1])
    for at in np.ndindex(*x.shape[:-1]):
        gbeta += gy[at]
        ggamma += gy[at] * (x[at] - mean) / std
    gx = np.zeros(x.shape)
    for at in np.ndindex(*x.shape[:-1]):
        xhat = (x[at] - mean) / std
        gx[at] = gamma / std * (gy[at] - gbeta / count - xhat * ggamma / count)
    return gx, ggamma, gbeta


def normalize_relu(
    x: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float
) -> Float64:
    """Batch normalisation and ReLU: y = max(normalize(x), 0)."""
    y = normalize(x, mean, var, gamma, beta, eps)
    for at in np.ndindex(*y.shape):
        y[at] = max(float(y[at]), 0.0)
    return y


def normalize_relu_grad(
    x: Array, gy: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float
) -> tuple[Float64, Float64, Float64]:
    """Gradients gx, ggamma, gbeta of `normalize_relu`, mean and var the moments of x.

    gy passes where normalize(x) > 0 and is 0 elsewhere; the rest is `normalize_grad`.
    """
    y = normalize(x, mean, var, gamma, beta, eps)
    passed = np.zeros(gy.shape)
    for at in np.ndindex(*gy.shape):
        passed[at] = gy[at] if y[at] > 0 else 0.0
    return normalize_grad(x, passed, mean, var, gamma, eps)


def max_pool2d(x: Array, size: int, stride: int) -> tuple[Float64, NDArray[np.int32]]:
    """The largest value of each size x size window, channel by channel, and where it was.

        y[b, i, j, c] = max over p, q < size of  x[b, i*stride + p, j*stride + q, c]

    x is (n, h, w, c), y and argmax are (n, oh, ow, c) with oh = (h - size) // stride + 1.
    ``argmax`` is p*size + q of the maximum, of the first one where there are several.
    """
    n, h, w, c = x.shape
    y = np.full((n, (h - size) // stride + 1, (w - size) // stride + 1, c), -math.inf)
    argmax = np.zeros(y.shape, np.int32)
    for b, i, j, k in np.ndindex(*y.shape):
        for p, q in np.ndindex(size, size):
            value = float(x[b, i * stride + p, j * stride + q, k])
            if value > y[b, i, j, k]:
                y[b, i, j, k], argmax[b, i, j, k] = value, p * size + q
    return y, argmax


def max_pool2d_grad(
    gy: Array, argmax: NDArray[np.int32], in_hw: Sequence[int], size: int, stride: int
) -> Float64:
    """Gradient of `max_pool2d`: each gy goes to the pixel its maximum came from.

    gy and argmax are (n, oh, ow, c), the result is (n, *in_hw, c). Windows may overlap (stride <
    size); a pixel that was the maximum of several collects from all of them.
    """
    n, _, _, c = gy.shape
    gx = np.zeros((n, *in_hw, c))
    for b, i, j, k in np.ndindex(*gy.shape):
        p, q = divmod(int(argmax[b, i, j, k]), size)
        gx[b, i * stride + p, j * stride + q, k] += gy[b, i, j, k]
    return gx


def sigmoid(x: Array) -> Float64:
    """1 / (1 + exp(-x)), Eq. 2."""
    y = np.zeros(x.shape)
    for at in np.ndindex(*x.shape):
        y[at] = _sigmoid(float(x[at]))
    return y


def _sigmoid(x: float) -> float:
    """One value, written so that exp never overflows. 1 - sigmoid(x) is sigmoid(-x)."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _sigmoid_slope(x: float) -> float:
    """The derivative of sigmoid: sigma * (1 - sigma)."""
    return _sigmoid(x) * _sigmoid(-x)


# Losses: each takes logits x and a mask of their shape, True on crack, and returns its value and
# its gradient with respect to the logits. sigma is the sigmoid of a logit, N the number of pixels.


def f1_sums(logits: Array, mask: Mask) -> tuple[float, float, float]:
    """n_pos, sum_pos and sum_all of Eq. 6, in which F1 = 2 * sum_pos / (n_pos + sum_all).

    n_pos counts the pixels where the mask is True, sum_pos sums sigma over them, and sum_all sums
    sigma over all pixels.
    """
    n_pos = sum_pos = sum_all = 0.0
    for at in np.ndindex(*logits.shape):
        sigma = _sigmoid(float(logits[at]))
        sum_all += sigma
        if mask[at]:
            n_pos += 1
            sum_pos += sigma
    return n_pos, sum_pos, sum_all


def f1_weights(sums: tuple[float, float, float]) -> tuple[float, float]:
    """|dL/dsigma| of L = -log F1, Eq. 7: where the mask is True, and elsewhere.

    1 / sum_pos - 1 / (n_pos + sum_all),    1 / (n_pos + sum_all)
    """
    n_pos, sum_pos, sum_all = sums
    by_all = 1 / max(n_pos + sum_all, _FLOOR)
    return 1 / max(sum_pos, _FLOOR) - by_all, by_all


def f1(logits: Array, mask: Mask) -> tuple[float, Float64]:
    """-log F1, Eq. 6, and its true gradient, Eq. 8: the weights of Eq. 7 times dsigma/dx.

        -(1 / sum_pos - 1 / (n_pos + sum_all)) * sigma * (1 - sigma)    where the mask is True
                        1 / (n_pos + sum_all)  * sigma * (1 - sigma)    elsewhere

    The value is infinite where the mask is True nowhere.
    """
    n_pos, sum_pos, sum_all = sums = f1_sums(logits, mask)
    value = -math.log(2 * max(sum_pos, _FLOOR) / (n_pos + sum_all)) if n_pos else math.inf
    return value, _gradient(logits, mask, f1_weights(sums), _sigmoid_slope)


def pseudo_f1(logits: Array, mask: Mask) -> tuple[float, Float64]:
    """-log F1 and the pseudo-gradient, Eq. 11: the weights of Eq. 7 times the gradient of Eq. 10.

        -(1 / sum_pos - 1 / (n_pos + sum_all)) * (1 - sigma)    where the mask is True
                        1 / (n_pos + sum_all)  * sigma          elsewhere

    No loss has it as its gradient (footnote 2).
    """
    value, _ = f1(logits, mask)
    return value, _gradient(logits, mask, f1_weights(f1_sums(logits, mask)), _sigmoid)


def linear(logits: Array, mask: Mask) -> tuple[float, Float64]:
    """Eq. 9 over N: minus the mean of sigma where the mask is True and of 1 - sigma elsewhere."""
    weights = 1 / logits.size, 1 / logits.size
    return _weighted_sum(logits, mask, weights, lambda t: -_sigmoid(-t), _sigmoid_slope)


def cross_entropy(logits: Array, mask: Mask) -> tuple[float, Float64]:
    """Eq. 10 over N: the mean of -log sigma where the mask is True, else of -log(1 - sigma)."""
    weights = 1 / logits.size, 1 / logits.size
    return _weighted_sum(logits, mask, weights, _softplus, _sigmoid)


def balanced(logits: Array, mask: Mask) -> tuple[float, Float64]:
    """The mean of -log sigma where the mask is True plus that of -log(1 - sigma) elsewhere."""
    n_pos = sum(bool(label) for label in mask.flat)
    weights = 1 / max(n_pos, 1), 1 / max(mask.size - n_pos, 1)
    return _weighted_sum(logits, mask, weights, _softplus, _sigmoid)


def focal(logits: Array, mask: Mask, alpha: float, gamma: float) -> tuple[float, Float64]:
    """The mean of -a * (1 - p)**gamma * log p, with p the probability of the label.

    p is sigma and a is alpha where the mask is True; elsewhere they are 1 - sigma and 1 - alpha.
    Lin et al., Focal Loss for Dense Object Detection, ICCV 2017.
    """

    def term(t: float) -> float:
        return math.pow(_sigmoid(t), gamma) * _softplus(t)

    def slope(t: float) -> float:
        wrong, right = _sigmoid(t), _sigmoid(-t)
        return math.pow(wrong, gamma) * (gamma * right * _softplus(t) + wrong)

    weights = alpha / logits.size, (1 - alpha) / logits.size
    return _weighted_sum(logits, mask, weights, term, slope)


def tversky(logits: Array, mask: Mask, alpha: float, beta: float) -> tuple[float, Float64]:
    """1 - T with T = TP / (TP + alpha * FP + beta * FN); Dice's loss where both are 1/2.

    TP sums sigma where the mask is True, FN sums 1 - sigma there, and FP sums sigma elsewhere.
    Salehi et al., Tversky Loss Function for Image Segmentation Using 3D Fully Convolutional Deep
    Networks, MLMI 2017.
    """
    tp = fp = fn = 0.0
    for at in np.ndindex(*logits.shape):
        x = float(logits[at])
        if mask[at]:
            tp, fn = tp + _sigmoid(x), fn + _sigmoid(-x)
        else:
            fp += _sigmoid(x)
    total = max(tp + alpha * fp + beta * fn, _FLOOR)
    # By the quotient rule: dtotal/dsigma is 1 - beta where the mask is True, else alpha.
    weights = (total - (1 - beta) * tp) / total**2, alpha * tp / total**2
    return 1 - tp / total, _gradient(logits, mask, weights, _sigmoid_slope)


def _softplus(t: float) -> float:
    """log(1 + exp(t)), which is -log(sigmoid(-t)), written so that exp never overflows."""
    return max(t, 0.0) + math.log1p(math.exp(-abs(t)))


def _weighted_sum(
    logits: Array, mask: Mask, weights: tuple[float, float], term: Scalar, slope: Scalar
) -> tuple[float, Float64]:
    """weights[0] * term(-x) where the mask is True and weights[1] * term(x) elsewhere, summed.

    slope is the derivative of term.
    """
    value = 0.0
    for at in np.ndindex(*logits.shape):
        x = float(logits[at])
        value += weights[0] * term(-x) if mask[at] else weights[1] * term(x)
    return value, _gradient(logits, mask, weights, slope)


def _gradient(logits: Array, mask: Mask, weights: tuple[float, float], slope: Scalar) -> Float64:
    """-weights[0] * slope(-x) where the mask is True, weights[1] * slope(x) elsewhere."""
    g = np.zeros(logits.shape)
    for at in np.ndindex(*logits.shape):
        x = float(logits[at])
        g[at] = -weights[0] * slope(-x) if mask[at] else weights[1] * slope(x)
    return g


def adam(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    """One update of the parameters p by the gradient g, in place on p, m and v.

        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        p = p - lr * (m / (1 - beta1**step)) / (sqrt(v / (1 - beta2**step)) + eps)

    ``step`` is 1 for the first update. Kingma and Ba, Adam, ICLR 2015, Algorithm 1.
    """
    for at in np.ndindex(*p.shape):
        gradient = float(g[at])
        mean = beta1 * float(m[at]) + (1 - beta1) * gradient
        square = beta2 * float(v[at]) + (1 - beta2) * gradient**2
        root = math.sqrt(square / (1 - beta2**step)) + eps
        p[at] = float(p[at]) - lr * (mean / (1 - beta1**step)) / root
        m[at], v[at] = mean, square


def clipped(gs: list[Array], most: float) -> list[Array]:
    """The gradients, which as one vector are no longer than ``most``.

    norm = sqrt(sum of g**2)
    g * most / max(norm, most)
    """
    total = 0.0
    for g in gs:
        for at in np.ndindex(*g.shape):
            total += float(g[at]) ** 2
    factor = most / max(math.sqrt(total), most)
    results = []
    for g in gs:
        result = np.zeros(g.shape)
        for at in np.ndindex(*g.shape):
            result[at] = float(g[at]) * factor
        results.append(result)
    return results


def _float64(values: Array) -> Float64:
    return np.asarray(values, np.float64)
