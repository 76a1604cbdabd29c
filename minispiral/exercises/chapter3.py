"""Checks of chapter 3: batch norm folded into weights, moments of tiles, layer norm's gradient."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.exercises import Wrong, exercise
from minispiral.exercises.arrays import expect

Array = NDArray[np.float64]


def _pair(result: Any, call: str, names: str) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise Wrong(f"{call} returned {type(result).__name__}, expected the pair {names}")
    return result


@exercise("3.1", function="folded", difficulty=1)
def folded(answer: Callable[..., Any]) -> None:
    """Batch norm folded into the convolution's weights."""
    rng = np.random.default_rng()
    eps = 0.5  # as large as var, so that it cannot be forgotten
    for transpose in (False, True):
        w = rng.standard_normal((2, 3, 4, 5))
        channels = w.shape[2 if transpose else 3]
        gamma, beta, mean = rng.uniform(0.5, 2, (3, channels))
        var = rng.uniform(0.1, 2, (channels,))
        before = w.copy()
        call = f"for random w of shape {w.shape}, folded(..., eps={eps}, transpose={transpose})"
        pair = answer(w, gamma.copy(), beta.copy(), mean.copy(), var.copy(), eps, transpose)
        v, bias = _pair(pair, call, "(v, bias)")
        if not np.array_equal(w, before):
            raise Wrong(f"{call} changed w itself: make a new array")
        scale = gamma / np.sqrt(var + eps)
        if isinstance(bias, np.ndarray) and bias.shape == beta.shape:
            if np.allclose(bias, beta):
                raise Wrong(
                    f"{call} returned beta as the bias: what the mean takes away, scaled, belongs "
                    f"to the bias too"
                )
            if np.allclose(bias, beta - mean):
                raise Wrong(f"{call}: the mean is subtracted before the scaling, so scale it too")
        axis = "big" if transpose else "small"
        wanted = w * (scale[:, None] if transpose else scale)
        expect(v, wanted, f"{call}, where axis {axis!r} of w counts the output channels: v")
        expect(bias, beta - mean * scale, f"{call}: bias")


@exercise("3.2", function="moments", difficulty=3)
def moments(answer: Callable[..., Any]) -> None:
    """Mean and variance of tiles that are seen only once."""
    rng = np.random.default_rng()
    for offset, sizes in ((0.0, [7]), (3.0, [1, 1, 4]), (2.0, [40, 5, 300]), (1e8, [50, 1, 900])):
        tiles = [offset + rng.standard_normal((size, 3)) for size in sizes]
        # The tiles have different means: the distances between these are part of the variance.
        tiles = [tile + shift for tile, shift in zip(tiles, rng.permutation(9), strict=False)]
        call = f"for tiles of {sizes} rows and 3 channels, moments(tiles)"
        if offset > 1e6:
            call = f"with a mean of {offset:.0e}, where a difference of squares cancels, {call}"
        mean, var = _pair(answer(_once(tiles)), call, "(mean, var)")
        rows = np.concatenate(tiles)
        wanted_var = (rows - rows[0]).var(0)
        wanted_mean = rows[0] + (rows - rows[0]).mean(0)
        if isinstance(var, np.ndarray) and var.shape == wanted_var.shape:
            if np.isnan(var).any():
                raise Wrong(
                    f"{call} is NaN, as if a tile was read after the next one was asked for"
                )
            if np.allclose(var * (1 - 1 / len(rows)), wanted_var):
                raise Wrong(f"{call} returned the unbiased variance: divide by the number of rows")
            within = sum(len(tile) * tile.var(0) for tile in tiles) / len(rows)
            if len(tiles) > 1 and np.allclose(var, within):
                raise Wrong(f"{call} returned the mean variance of the tiles: their means differ")
        # A millionth of the standard deviation; `expect` takes it relative to the largest mean.
        expect(var, wanted_var, f"{call}: var", 1e-6)
        precision = 1e-6 * np.sqrt(wanted_var.min()) / np.abs(wanted_mean).max()
        expect(mean, wanted_mean, f"{call}: mean", precision)


def _once(tiles: list[Array]) -> Iterator[Array]:
    """The tiles one by one, all in the same memory, which is spoiled afterwards."""
    memory = np.empty(max(tile.size for tile in tiles))
    for tile in tiles:
        shown = memory[: tile.size].reshape(tile.shape)
        shown[:] = tile
        yield shown
        memory[:] = np.nan


@exercise("3.3", function="layer_norm_grad", difficulty=2)
def layer_norm_grad(answer: Callable[..., Any]) -> None:
    """The gradient of layer norm."""
    rng = np.random.default_rng()
    for shape, eps in (((1, 1, 1, 3), 1e-5), ((2, 3, 4, 5), 0.5), ((1, 4, 3, 7), 1e-5)):
        x = rng.uniform(1, 3, shape[:-1])[..., None] * rng.standard_normal(shape) + 2
        gy = rng.standard_normal(shape)
        expected = _by_complex_steps(x, gy, eps)
        result = answer(x.copy(), gy.copy(), eps)
        call = f"for random x and gy of shape {shape}, layer_norm_grad(x, gy, {eps})"
        if isinstance(result, np.ndarray) and result.shape == shape:
            if not result.any():
                raise Wrong(
                    f"{call} is 0 everywhere: take the moments over the channels of a pixel, not "
                    f"over the pixels of a channel"
                )
            inv = 1 / np.sqrt(x.var(-1, keepdims=True) + eps)
            if np.allclose(result, inv * gy):
                raise Wrong(f"{call} takes the moments for constants, but they depend on x")
            if np.allclose(result, inv * (gy - gy.mean(-1, keepdims=True))):
                raise Wrong(f"{call} forgets that the variance moves with x")
        expect(result, expected, call)


def _by_complex_steps(x: Array, gy: Array, eps: float) -> Array:
    """The gradient without its formula: imag(f(x + ih)) / h is df/dx."""
    gx = np.zeros(x.shape)
    for at in np.ndindex(*x.shape):
        pixel = x[at[:-1]].astype(complex)
        pixel[at[-1]] += 1e-30j
        centred = pixel - pixel.mean()
        y = centred / np.sqrt((centred**2).mean() + eps)
        gx[at] = (y * gy[at[:-1]]).sum().imag / 1e-30
    return gx
