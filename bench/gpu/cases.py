"""Calls of the CUDA functions on fresh random numbers, each with what must come out.

That is what the NumPy twin computes in float64 from the same numbers, rounded first as the tensor
cores round them where TF32 was asked for: a tolerance for rounding would hide a wrong index.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.gpu.choices import chosen
from minispiral.detection.metrics import RunningSums
from minispiral.kernels.cpu import adam, arithmetic, batchnorm, conv2d, layout, losses, pooling
from minispiral.kernels.cuda import adam as cuda_adam
from minispiral.kernels.cuda import arithmetic as cuda_arithmetic
from minispiral.kernels.cuda import batchnorm as cuda_batchnorm
from minispiral.kernels.cuda import conv2d as cuda_conv2d
from minispiral.kernels.cuda import layout as cuda_layout
from minispiral.kernels.cuda import losses as cuda_losses
from minispiral.kernels.cuda import pooling as cuda_pooling
from minispiral.kernels.cuda import statistics as cuda_statistics
from minispiral.kernels.shapes import output_hw

Rng = np.random.Generator
Array = NDArray[Any]

# The largest error over the largest number. Tensor cores cut off the ends of their sums; what they
# round to TF32 though they should not is off by 3e-4. How exact they are `accuracy` tells.
TOLERANCES = {"float64": 1e-12, "float32": 5e-5, "tf32": 5e-5}
EPS = 1e-5


class Call(NamedTuple):
    """A function of `minispiral.kernels.cuda`, its arguments, and its twin on those in float64.

    Where a function changes its arguments, those numbered ``changed`` are its results.
    """

    cuda: Callable[..., Any]
    twin: Callable[..., Any]
    arguments: tuple[Any, ...]
    changed: tuple[int, ...] = ()


class Case(NamedTuple):
    """A call that random numbers complete."""

    name: str
    precision: str  # "float32", "tf32" or "float64"
    make: Callable[[Rng], Call]


def to_tf32(x: Array) -> Array:
    """The nearest number of 10 bits of fraction, ties away from zero; float32."""
    bits = (x.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)
    rounded: Array = bits.view(np.float32)
    return rounded


def cases() -> list[Case]:
    """Every function, and of the convolutions every kernel with every way to share its work."""
    found = [*few_channels(), *tensor_cores(), *plain_convolutions()]
    for precision in ("float32", "float64"):
        dtype = np.dtype(precision)
        for source in (normalisations, loss_functions, small_steps, layouts, pools, optimisers):
            found += (Case(name, precision, make) for name, make in source(dtype))
    return found


Made = Iterator[tuple[str, Callable[[Rng], Call]]]


# Convolutions


def convolution(
    rng: Rng,
    operation: str,
    precision: str,
    big: int,
    small: int,
    ending: str = "",
    tiling: str | None = None,
    parts: int | None = None,
    most: int = 17,
) -> Call:
    """One of the three on an image of random sides up to ``most``; ``ending`` as in `ENDINGS`."""
    dtype = np.float64 if precision == "float64" else np.float32
    kh, kw, stride, pad = (int(rng.integers(*ends)) for ends in ((1, 4), (1, 4), (1, 4), (0, 3)))
    n, h, w = int(rng.integers(1, 4)), *(int(i) for i in rng.integers(3, most + 1, 2))
    oh, ow = output_hw((h, w), (kh, kw), stride, pad)
    x, weights, gy = (
        rng.uniform(-1, 2, shape).astype(dtype)
        for shape in ((n, h, w, big), (kh, kw, big, small), (n, oh, ow, small))
    )
    arguments: tuple[Any, ...] = {
        "conv2d": (x, weights),
        "conv2d_input_grad": (gy, weights, (h, w)),
        "conv2d_weight_grad": (x, gy, (kh, kw)),
    }[operation]
    if precision == "tf32":
        arguments = tuple(to_tf32(a) if isinstance(a, np.ndarray) else a for a in arguments)
    vectors = rng.uniform(-1, 1, (2, small if operation == "conv2d" else big)).astype(dtype)
    named = {"stride": stride, "pad": pad, **({"moments": True} if ending == "moments" else {})}

    def call(function: Callable[..., Any], *given: Any, **options: Any) -> Any:
        if ending == "scale and shift":
            options["scale_shift"] = given[-2:]
        return function(*given[:-2], **named, **options)

    def run(*arguments: Any) -> Any:
        with chosen(tiling, parts):
            return call(getattr(cuda_conv2d, operation), *arguments, tf32=precision == "tf32")

    return Call(run, partial(call, getattr(conv2d, operation)), (*arguments, *vectors))


OPERATIONS = ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")
ENDINGS = ("", "moments", "scale and shift")


def endings(operation: str) -> tuple[str, ...]:
    """What may be done with a result in the same call."""
    return ("",) if operation == "conv2d_weight_grad" else ENDINGS


def few_channels() -> Iterator[Case]:
    """The kernels for larger images of few channels, which round nothing."""
    for big in range(1, cuda_conv2d.FEW + 1):
        for operation in OPERATIONS:
            for ending in endings(operation):
                name = f"{operation}, {big} channels {ending}".rstrip()
                make = partial(
                    convolution,
                    operation=operation,
                    precision="float32",
                    big=big,
                    small=68 if big % 2 else 37,
                    ending=ending,
                    most=29,
                )
                yield Case(name, "float32", make)


def tensor_cores() -> Iterator[Case]:
    """All tilings, on results smaller and larger than a tile, in one part and in several."""
    in_fours = ((8, 132, 1), (36, 20, 3), (132, 72, 1), (12, 8, 5))
    for tiling in cuda_conv2d.TILINGS:
        precision = "float32" if tiling.endswith("Precise") else "tf32"
        narrow = ((9, 131, 1), (35, 18, 3), (130, 73, 1)) if tiling.startswith("Narrow") else ()
        for big, small, parts in narrow or in_fours:
            for operation in OPERATIONS:
                for ending in endings(operation):
                    name = f"{operation}, {tiling}, {big} x {small}, parts {parts} {ending}"
                    make = partial(
                        convolution,
                        operation=operation,
                        precision=precision,
                        big=big,
                        small=small,
                        ending=ending,
                        tiling=tiling,
                        parts=parts,
                        most=13,
                    )
                    yield Case(name.rstrip(), precision, make)


def plain_convolutions() -> Iterator[Case]:
    """What no other kernel takes."""
    for precision in ("float32", "float64"):
        for operation in OPERATIONS:
            for ending in endings(operation):
                make = partial(
                    convolution,
                    operation=operation,
                    precision=precision,
                    big=5,
                    small=3,
                    ending=ending,
                )
                yield Case(f"{operation}, plain {ending}".rstrip(), precision, make)


# Everything else


def normal(rng: Rng, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return rng.standard_normal(shape).astype(dtype)


def image(rng: Rng, dtype: np.dtype[Any], c: int | None = None) -> Array:
    """Of odd sides, about a mean that is not zero."""
    n, h, w = rng.integers(2, (4, 40, 30))
    shifted: Array = normal(rng, (n, h, w, c or int(rng.integers(1, 70))), dtype) + dtype.type(0.5)
    return shifted


def normalisations(dtype: np.dtype[Any]) -> Made:
    def moments(rng: Rng) -> Call:
        return Call(cuda_batchnorm.moments, batchnorm.moments, (image(rng, dtype),))

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
        return Call(getattr(cuda_batchnorm, name), getattr(batchnorm, name), arguments)

    def scale_shift(rng: Rng) -> Call:
        vectors = (rng.random(67).astype(dtype) + dtype.type(0.1) for _ in range(4))
        cuda = partial(cuda_batchnorm.scale_shift, dtype)
        return Call(cuda, partial(batchnorm.scale_shift, np.float64), (*vectors, EPS))

    yield "moments", moments
    yield "scale_shift", scale_shift
    for relu in (False, True):
        name = "normalize_relu" if relu else "normalize"
        yield name, partial(normalised, name, False, relu, False)
        for constant in (False, True):
            label = f"{name}_grad{', constant' if constant else ''}"
            yield label, partial(normalised, f"{name}_grad", True, relu, constant)


def loss_functions(dtype: np.dtype[Any]) -> Made:
    def drawn(rng: Rng) -> tuple[Array, Array]:
        n, h, w = rng.integers(2, (4, 90, 90))
        return 3 * normal(rng, (n, h, w, 1), dtype), rng.random((n, h, w, 1)) < 0.1

    def plain(name: str, parameters: tuple[float, ...], rng: Rng) -> Call:
        arguments = (*drawn(rng), *parameters)
        return Call(getattr(cuda_losses, name), getattr(losses, name), arguments)

    def of_sums(name: str, rng: Rng) -> Call:
        logits, mask = drawn(rng)
        sums = np.array(losses.f1_sums(logits, mask), np.float64)

        def twin(*arguments: Any) -> Any:
            return getattr(losses, name)(*arguments[:-1], losses.F1Sums(*arguments[-1]))

        arguments = (sums,) if name == "f1_loss" else (logits, mask, sums)
        return Call(getattr(cuda_losses, name), twin, arguments)

    yield "sigmoid", lambda rng: Call(cuda_losses.sigmoid, losses.sigmoid, drawn(rng)[:1])
    yield "f1_sums", partial(plain, "f1_sums", ())
    for name in ("f1_loss", "f1_grad", "pseudo_f1_grad"):
        yield name, partial(of_sums, name)
    for name in ("cross_entropy", "balanced", "linear", "focal"):
        parameters = (0.3, 1.7) if name == "focal" else ()
        yield name, partial(plain, name, parameters)
        yield f"{name}_grad", partial(plain, f"{name}_grad", parameters)

    def add_batch(rng: Rng) -> Call:
        (logits, mask), loss = drawn(rng), np.array(rng.random(), dtype)
        totals = np.array([2.5, 3, 700, 600, 500, 1, 0])

        def twin(totals: Array, loss: Array, logits: Array, mask: Array) -> None:
            values = dict(zip(cuda_statistics.TOTALS, totals.tolist(), strict=True))
            sums = RunningSums(**values)
            sums.add(float(loss), logits, mask)
            totals[...] = [getattr(sums, name) for name in cuda_statistics.TOTALS]

        arguments = totals, loss, logits, mask
        return Call(cuda_statistics.add_batch, twin, arguments, (0,))

    yield "add_batch", add_batch


def small_steps(dtype: np.dtype[Any]) -> Made:
    other = np.dtype(np.float32 if dtype == np.float64 else np.float64)

    def combined(name: str, rng: Rng) -> Call:
        x = image(rng, dtype)
        function, twin = getattr(cuda_arithmetic, name), getattr(arithmetic, name)
        return Call(function, twin, (x, normal(rng, x.shape[-1:], dtype)))

    def converted(to: np.dtype[Any], rng: Rng) -> Call:
        # Compared in the accuracy of the coarser of the two.
        x = image(rng, dtype).astype(np.float32).astype(dtype)
        return Call(
            lambda x: cuda_arithmetic.astype(x, to), lambda x: arithmetic.astype(x, to), (x,)
        )

    def leading_sum(rng: Rng) -> Call:
        return Call(cuda_arithmetic.leading_sum, arithmetic.leading_sum, (image(rng, dtype), 3))

    def blend(rng: Rng) -> Call:
        running, value = (normal(rng, (67,), dtype) for _ in range(2))
        arguments = (running, value, 0.9, 0.1)
        return Call(cuda_arithmetic.blend, arithmetic.blend, arguments, (0,))

    yield "add", partial(combined, "add")
    yield "multiply", partial(combined, "multiply")
    yield f"astype {dtype}", partial(converted, dtype)
    yield f"astype {other}", partial(converted, other)
    yield "leading_sum", leading_sum
    yield "blend", blend


def layouts(dtype: np.dtype[Any]) -> Made:
    def called(name: str, arguments: Callable[[Rng], tuple[Any, ...]], rng: Rng) -> Call:
        return Call(getattr(cuda_layout, name), getattr(layout, name), arguments(rng))

    def concatenated(rng: Rng) -> tuple[Any, ...]:
        n, h, w = rng.integers(2, (4, 30, 30))
        return tuple(normal(rng, (n, h, w, c), dtype) for c in (1, 3, 2))

    def scale_pixels(rng: Rng) -> Call:
        pixels = rng.integers(256, size=(2, 31, 17, 3), dtype=np.uint8)
        return Call(
            lambda x: cuda_layout.scale_pixels(x, dtype),
            lambda x: layout.scale_pixels(x, np.float64),
            (pixels,),
        )

    def to_flip(rng: Rng, kind: type[np.generic]) -> tuple[Any, ...]:
        n, h, w = rng.integers(2, (6, 30, 30))
        images = rng.integers(2, size=(n, h, w, 3)) * rng.integers(1, 256, (n, h, w, 3))
        return images.astype(kind), rng.random((n, 2)) < 0.5

    wide = partial(image, dtype=dtype, c=7)
    yield "scale_pixels", scale_pixels
    for kind in (np.uint8, np.bool_):
        yield f"flip {kind.__name__}", partial(called, "flip", partial(to_flip, kind=kind))
    yield "concatenate", partial(called, "concatenate", concatenated)
    yield "split", partial(called, "split", lambda rng: (wide(rng), (1, 4)))
    yield "edge_pad", partial(called, "edge_pad", lambda rng: (wide(rng), 2, 3))
    large = partial(normal, shape=(2, 23, 19, 5), dtype=dtype)
    yield "edge_pad_grad", partial(called, "edge_pad_grad", lambda rng: (large(rng), 2, 3))
    yield "crop", partial(called, "crop", lambda rng: (large(rng), 2, (13, 16)))
    yield "crop_grad", partial(called, "crop_grad", lambda rng: (large(rng), 2, (27, 22)))


def pools(dtype: np.dtype[Any]) -> Made:
    def max_pool2d(rng: Rng) -> Call:
        x = normal(rng, (2, 21, 18, 35), dtype)
        return Call(cuda_pooling.max_pool2d, pooling.max_pool2d, (x, 3, 2))

    def max_pool2d_grad(rng: Rng) -> Call:
        _, argmax = pooling.max_pool2d(normal(rng, (2, 21, 18, 35), dtype), 3, 2)
        arguments = normal(rng, argmax.shape, dtype), argmax, (21, 18), 3, 2
        return Call(cuda_pooling.max_pool2d_grad, pooling.max_pool2d_grad, arguments)

    yield "max_pool2d", max_pool2d
    yield "max_pool2d_grad", max_pool2d_grad


def optimisers(dtype: np.dtype[Any]) -> Made:
    def one(rng: Rng) -> Call:
        p, g, m = (normal(rng, (99, 83), dtype) for _ in range(3))
        v = rng.random(p.shape).astype(dtype)
        scalars = np.array(3, np.int64), np.array(0.1), 0.9, 0.999, 1e-8

        def twin(p: Array, g: Array, m: Array, v: Array, step: Any, lr: Any, *rest: Any) -> None:
            adam.adam(p, g, m, v, int(step), float(lr), *rest)

        return Call(cuda_adam.adam, twin, (p, g, m, v, *scalars), (0, 2, 3))

    def count_step(rng: Rng) -> Call:
        def twin(step: Array) -> None:
            step += 1

        return Call(cuda_adam.count_step, twin, (np.array(rng.integers(1 << 40)),), (0,))

    yield "adam", one
    if dtype == np.float64:
        yield "count_step", count_step
