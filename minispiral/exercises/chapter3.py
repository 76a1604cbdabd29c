"""Checks of chapter 3: batch norm folded into weights, moments of tiles, layer norm's gradient."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.exercises import Wrong, exercise
from minispiral.exercises.arrays import expect, expect_pair

Array = NDArray[np.float64]


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
        v, bias = expect_pair(pair, call, "(v, bias)")
        if not np.array_equal(w, before):
            raise Wrong(f"{call} changed w itself: make a new array")
        scale = gamma / np.sqrt(var + eps)
        axis = "big" if transpose else "small"

        def scaled(by: Array, w: Array = w, transpose: bool = transpose) -> Array:
            return w * (by[:, None] if transpose else by)

        known = {
            "forgets eps": scaled(gamma / np.sqrt(var)),
            "adds eps behind the root: it belongs under it": scaled(gamma / (np.sqrt(var) + eps)),
            "divides by the variance: take its root": scaled(gamma / (var + eps)),
            "multiplies by the standard deviation: divide": scaled(gamma * np.sqrt(var + eps)),
            "forgets gamma": scaled(1 / np.sqrt(var + eps)),
            "forgets the standard deviation": scaled(gamma),
            "is w as it was: scale it": w,
        }
        where = f"{call}, where axis {axis!r} of w counts the output channels: v"
        expect(v, scaled(scale), where, known=known)
        known = {
            "is beta: what the mean takes away, scaled, belongs to it too": beta,
            "subtracts the mean as it is: it is subtracted before the scaling, so scale it too": (
                beta - mean
            ),
            "adds what the mean takes away": beta + mean * scale,
            "scales beta, which is added behind the scaling": (beta - mean) * scale,
            "forgets beta": -mean * scale,
        }
        expect(bias, beta - mean * scale, f"{call}: bias", known=known)


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
        mean, var = expect_pair(answer(_once(tiles)), call, "(mean, var)")
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
            if not var.any():
                raise Wrong(
                    f"{call} returned the variance 0: a generator yields each tile once, and "
                    f"nothing in a second loop"
                )
            if np.allclose(var**2, wanted_var):
                raise Wrong(f"{call} returned the standard deviation: the variance is its square")
            if len(tiles) > 1 and np.allclose(var, tiles[-1].var(0)):
                raise Wrong(f"{call} returned the variance of the last tile alone")
            within = sum(len(tile) * tile.var(0) for tile in tiles) / len(rows)
            if len(tiles) > 1 and np.allclose(var, within):
                raise Wrong(f"{call} returned the mean variance of the tiles: their means differ")
        # A millionth of the standard deviation; `expect` takes it relative to the largest mean.
        expect(var, wanted_var, f"{call}: var", 1e-6)
        precision = 1e-6 * np.sqrt(wanted_var.min()) / np.abs(wanted_mean).max()
        unweighted = np.mean([tile.mean(0) for tile in tiles], axis=0)
        known = {"is the mean of the tiles' means: weight each by its rows": unweighted}
        expect(mean, wanted_mean, f"{call}: mean", precision, known if offset < 1e6 else None)


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
        if isinstance(result, np.ndarray) and result.shape == shape and not result.any():
            raise Wrong(
                f"{call} is 0 everywhere: take the moments over the channels of a pixel, not over "
                f"the pixels of a channel"
            )
        expect(result, expected, call, known=_near_misses(x, gy, eps))


def _near_misses(x: Array, gy: Array, eps: float) -> dict[str, Array]:
    """Wrong gradients, each by what is wrong with it."""
    var, c = x.var(-1, keepdims=True), x.shape[-1]
    centred = x - x.mean(-1, keepdims=True)
    level = gy.mean(-1, keepdims=True)

    def tilt(inv: Array) -> Array:
        found: Array = centred * inv * (gy * centred * inv).mean(-1, keepdims=True)
        return found

    inv, bare, unbiased = (1 / np.sqrt(v) for v in (var + eps, var, var * c / (c - 1) + eps))
    return {
        "takes the moments for constants, but they depend on x": inv * gy,
        "forgets that the variance moves with x": inv * (gy - level),
        "forgets that the mean moves with x": inv * (gy - tilt(inv)),
        "adds what the moments take away": inv * (gy + level + tilt(inv)),
        "has sums where means belong": inv * (gy - c * level - c * tilt(inv)),
        "forgets the factor 1 / sqrt(v + eps)": gy - level - tilt(inv),
        "forgets eps": bare * (gy - level - tilt(bare)),
        "takes the unbiased variance": unbiased * (gy - level - tilt(unbiased)),
        "is layer norm itself, not its gradient": centred * inv,
    }


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
