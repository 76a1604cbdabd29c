"""Calls of the kernels' functions on random numbers, to be made on the GPU and on the CPU.

The expected results are those of the NumPy twins in float64.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import numpy as np

from bench.gpu.case import Array, Call, Case, Rng, image, normal
from bench.gpu.convolution_cases import (
    few_channels,
    late_weight_gradients,
    plain_convolutions,
    tensor_cores,
)
from minispiral.distributed import World
from minispiral.kernels import (
    arithmetic,
    batchnorm,
    collective,
    layout,
    losses,
    pooling,
    statistics,
    tiles,
)
from minispiral.kernels.adam import Update
from minispiral.kernels.arrays import like
from minispiral.kernels.clip import Clip
from minispiral.kernels.norm import Norm

# The largest error over the largest number. Tensor cores truncate their sums; a number that they
# round to TF32 though they should not is off by 3e-4. `accuracy` measures how exact they are.
TOLERANCES = {"float64": 1e-12, "float32": 5e-5, "tf32": 5e-5}
EPS = 1e-5


@cache
def cases() -> list[Case]:
    """Every function, and for the convolutions every kernel with every way to share its work."""
    found = [*few_channels(), *tensor_cores(), *plain_convolutions(), *late_weight_gradients()]
    for precision in ("float32", "float64"):
        dtype = np.dtype(precision)
        for file, source in SOURCES.items():
            found += (Case(name, precision, make, file) for name, make in source(dtype))
    return found


Made = Iterator[tuple[str, Callable[[Rng], Call]]]


def shared(make: Callable[[Rng], Call], rng: Rng) -> Call:
    """A call by one of several processes that share a batch, of which the others have nothing."""
    call = make(rng)
    images = next(len(a) for a in call.arguments if isinstance(a, np.ndarray) and a.ndim == 4)

    def function(*arguments: Any) -> Any:
        with collective.shared(World(), images):
            return call.function(*arguments)

    return call._replace(function=function)


def normalisations(dtype: np.dtype[Any]) -> Made:
    def moments(rng: Rng) -> Call:
        return Call(batchnorm.moments, (image(rng, dtype),))

    def normalised(name: str, grad: bool, relu: bool, constant: bool, rng: Rng) -> Call:
        x = image(rng, dtype)
        rows = x.reshape(-1, x.shape[-1])
        mean, var = rows.mean(0).astype(dtype), rows.var(0).astype(dtype)
        if constant:
            mean, var = mean + dtype.type(0.1), var + dtype.type(0.2)
        gamma, beta = (normal(rng, mean.shape, dtype) for _ in range(2))
        arguments: tuple[Any, ...] = (x, normal(rng, x.shape, dtype)) if grad else (x,)
        arguments += (mean, var, gamma) if grad and not relu else (mean, var, gamma, beta)
        arguments += (EPS, constant) if grad else (EPS,)
        return Call(getattr(batchnorm, name), arguments)

    def scale_shift(rng: Rng) -> Call:
        vectors = (rng.random(67).astype(dtype) + dtype.type(0.1) for _ in range(4))
        return Call(
            lambda mean, *rest: batchnorm.scale_shift(mean.dtype, mean, *rest), (*vectors, EPS)
        )

    def with_norm(rng: Rng) -> Call:
        def call(x: Any, gamma: Any, beta: Any, running_mean: Any, running_var: Any) -> Any:
            norm = Norm(gamma, beta, 0.1, running_mean, running_var, 0.3)
            return *batchnorm.moments(x, norm), norm.scale, norm.shift, running_mean, running_var

        x = image(rng, dtype)
        vectors = rng.uniform(0.1, 1, (4, x.shape[-1])).astype(dtype)
        return Call(call, (x, *vectors))

    yield "moments", moments
    yield "moments with a norm", with_norm
    yield "moments, shared", partial(shared, moments)
    for relu, name in ((False, "normalize_grad"), (True, "normalize_relu_grad")):
        yield f"{name}, shared", partial(shared, partial(normalised, name, True, relu, False))
    yield "scale_shift", scale_shift
    for relu in (False, True):
        name = "normalize_relu" if relu else "normalize"
        yield name, partial(normalised, name, False, relu, False)
        for constant in (False, True):
            label = f"{name}_grad{', constant' if constant else ''}"
            yield label, partial(normalised, f"{name}_grad", True, relu, constant)


def logits_and_mask(rng: Rng, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    n, h, w = rng.integers(2, (4, 90, 90))
    return 3 * normal(rng, (n, h, w, 1), dtype), rng.random((n, h, w, 1)) < 0.1


def loss_functions(dtype: np.dtype[Any]) -> Made:
    def sums(loss: losses.Loss, rng: Rng) -> Call:
        return Call(partial(losses.sums, loss), logits_and_mask(rng, dtype))

    def value(loss: losses.Loss, rng: Rng) -> Call:
        logits, mask = logits_and_mask(rng, dtype)
        sums = np.array(losses.sums(loss, logits, mask), np.float64)
        return Call(partial(losses.value, loss), (sums, logits.size))

    def gradient(loss: losses.Loss, rng: Rng) -> Call:
        logits, mask = logits_and_mask(rng, dtype)
        sums = np.array(losses.sums(loss, logits, mask), np.float64)
        return Call(partial(losses.gradient, loss), (logits, mask, sums))

    for name, loss in losses.LOSSES.items():
        yield f"{name} sums", partial(sums, loss())
        yield f"{name} value", partial(value, loss())
        yield f"{name} gradient", partial(gradient, loss())


def totals(dtype: np.dtype[Any]) -> Made:
    def add_batch(rng: Rng) -> Call:
        before = np.array([2.5, 3, 700, 600, 500, 1, 0])
        value = np.array(rng.random(), dtype)
        return Call(statistics.add_batch, (before, value, *logits_and_mask(rng, dtype)), (0,))

    yield "add_batch", add_batch
    yield "add_batch, shared", partial(shared, add_batch)


def small_steps(dtype: np.dtype[Any]) -> Made:
    other = np.dtype(np.float32 if dtype == np.float64 else np.float64)

    def combined(name: str, rng: Rng) -> Call:
        x = image(rng, dtype)
        return Call(getattr(arithmetic, name), (x, normal(rng, x.shape[-1:], dtype)))

    def converted(to: np.dtype[Any], rng: Rng) -> Call:
        # float32 numbers, so that conversion either way is exact
        x = image(rng, dtype).astype(np.float32).astype(dtype)
        return Call(lambda x: arithmetic.astype(x, to), (x,))

    def leading_sum(rng: Rng) -> Call:
        return Call(arithmetic.leading_sum, (image(rng, dtype), 3))

    def blend(rng: Rng) -> Call:
        running, value = (normal(rng, (67,), dtype) for _ in range(2))
        return Call(arithmetic.blend, (running, value, 0.9, 0.1), (0,))

    yield "sigmoid", lambda rng: Call(arithmetic.sigmoid, (3 * image(rng, dtype),))

    def total(rng: Rng) -> Call:
        x = image(rng, dtype)
        return Call(arithmetic.total, (x, normal(rng, x.shape, dtype), normal(rng, x.shape, dtype)))

    yield "total", total
    yield "add", partial(combined, "add")
    yield "multiply", partial(combined, "multiply")
    yield f"astype {dtype}", partial(converted, dtype)
    yield f"astype {other}", partial(converted, other)
    yield "leading_sum", leading_sum
    yield "blend", blend


def layouts(dtype: np.dtype[Any]) -> Made:
    def concatenated(rng: Rng) -> Call:
        n, h, w = rng.integers(2, (4, 30, 30))
        images = tuple(normal(rng, (n, h, w, c), dtype) for c in (1, 3, 2))
        return Call(layout.concatenate, images)

    def scale_pixels(rng: Rng) -> Call:
        pixels = rng.integers(256, size=(2, 31, 17, 3), dtype=np.uint8)
        return Call(lambda x: layout.scale_pixels(x, dtype), (pixels,))

    def flipped(kind: type[np.generic], rng: Rng) -> Call:
        n, h, w = rng.integers(2, (6, 30, 30))
        images = rng.integers(2, size=(n, h, w, 3)) * rng.integers(1, 256, (n, h, w, 3))
        return Call(layout.flip, (images.astype(kind), rng.random((n, 2)) < 0.5))

    def called(name: str, draw: Callable[[Rng], Array], arguments: Any, rng: Rng) -> Call:
        return Call(getattr(layout, name), (draw(rng), *arguments))

    wide = partial(image, dtype=dtype, c=7)
    large = partial(normal, shape=(2, 23, 19, 5), dtype=dtype)

    yield "scale_pixels", scale_pixels
    for kind in (np.uint8, np.bool_):
        yield f"flip {kind.__name__}", partial(flipped, kind)
    yield "concatenate", concatenated
    yield "split", partial(called, "split", wide, ((1, 4),))
    yield "edge_pad", partial(called, "edge_pad", wide, (2, 3))
    yield "edge_pad_grad", partial(called, "edge_pad_grad", large, (2, 3))
    yield "crop", partial(called, "crop", large, (2, (13, 16)))
    yield "crop_grad", partial(called, "crop_grad", large, (2, (27, 22)))


def pools(dtype: np.dtype[Any]) -> Made:
    def max_pool2d(rng: Rng) -> Call:
        return Call(pooling.max_pool2d, (normal(rng, (2, 21, 18, 35), dtype), 3, 2))

    def max_pool2d_grad(rng: Rng) -> Call:
        _, argmax = pooling.max_pool2d(normal(rng, (2, 21, 18, 35), dtype), 3, 2)
        gy = normal(rng, argmax.shape, dtype)
        return Call(pooling.max_pool2d_grad, (gy, argmax, (21, 18), 3, 2))

    yield "max_pool2d", max_pool2d
    yield "max_pool2d_grad", max_pool2d_grad


def photographs(dtype: np.dtype[Any]) -> Made:
    corners, hw = [(-19, 7), (20, -3), (3, 3)], (37, 23)

    def cut(rng: Rng) -> Call:
        photo = rng.integers(256, size=(int(rng.integers(1, 60)), 31, 3), dtype=np.uint8)
        return Call(lambda photo: tiles.cut(photo, corners, hw, dtype), (photo,))

    def blend(rng: Rng) -> Call:
        def blended(total: Any, logits: Any, rows: Any, columns: Any) -> None:
            tiles.blend(total, logits, corners, [(rows, columns)] * len(corners))

        total, logits = normal(rng, (41, 29), dtype), normal(rng, (3, *hw, 1), dtype)
        weights = (rng.random(side).astype(dtype) for side in hw)
        return Call(blended, (total, logits, *weights), (0,))

    yield "cut", cut
    yield "blend of tiles", blend


def optimisers(dtype: np.dtype[Any]) -> Made:
    def third_update(p: Any, g: Any, m: Any, v: Any) -> None:
        update = Update(p, 0.1, 0.9, 0.999, 1e-8)
        update.step[...] = like(np.array(2), p)
        update.locate([p], [g], [m], [v])
        update.launch()

    def adam(rng: Rng) -> Call:
        p, g, m = (normal(rng, (99, 83), dtype) for _ in range(3))
        return Call(third_update, (p, g, m, rng.random(p.shape).astype(dtype)), (0, 2, 3))

    yield "adam", adam


def clippings(dtype: np.dtype[Any]) -> Made:
    def clipped(*gs: Any) -> tuple[Any, ...]:
        clip, copies = Clip(gs[0], 3.0), tuple(like(np.empty(g.shape, g.dtype), g) for g in gs)
        clip.locate(gs, copies)
        clip.launch()
        return copies

    def clip(rng: Rng) -> Call:
        return Call(clipped, tuple(normal(rng, shape, dtype) for shape in ((99, 83), (1,))))

    yield "clipping", clip


# Everything but the convolutions, by the file of its kernels.
SOURCES = {
    "batchnorm.cu": normalisations,
    "losses.cu": loss_functions,
    "statistics.cu": totals,
    "arithmetic.cu": small_steps,
    "layout.cu": layouts,
    "pooling.cu": pools,
    "tiles.cu": photographs,
    "adam.cu": optimisers,
    "clip.cu": clippings,
}
