"""Cases of the convolutions: every kernel, with every way to share its work.

If TF32 is asked for, the numbers are first rounded as the tensor cores round them: a tolerance for
rounding would hide a wrong index.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from bench.gpu.case import Array, Call, Case, Rng
from bench.gpu.choices import chosen
from minispiral.kernels import batchnorm, conv2d
from minispiral.kernels.cuda.conv2d_few import FEW
from minispiral.kernels.cuda.conv2d_mma import TILINGS
from minispiral.kernels.cuda.rows import MOST_ARRAYS
from minispiral.kernels.cuda.sum_parts import late_sums, postponed
from minispiral.kernels.cuda.tf32 import tf32
from minispiral.kernels.epilogues import GradSums, Moments, ScaleShiftReLU
from minispiral.kernels.norm import Norm
from minispiral.kernels.normalized import Normalized
from minispiral.kernels.shapes import output_hw


def to_tf32(x: Array) -> Array:
    """The nearest number of 10 bits of fraction, ties to even; float32."""
    bits = x.view(np.uint32)
    odd = bits >> np.uint32(13) & np.uint32(1)
    bits = (bits + np.uint32(0xFFF) + odd) & np.uint32(0xFFFFE000)
    rounded: Array = bits.view(np.float32)
    return rounded


MOMENTS, SCALED, SUMS = "moments", "scale and shift", "sums of a gradient"


class Form(NamedTuple):
    """What a convolution reads, and what is asked of it besides its output."""

    reads: tuple[int, ...] = ()  # the arguments that are images yet to be normalised
    epilogue: str = ""

    def __str__(self) -> str:
        reads = [f"argument {place} normalised" for place in self.reads]
        return ", ".join([*reads, *filter(None, [self.epilogue])])


PLAIN = Form()
ONE_IMAGE = (
    *(PLAIN, Form((), MOMENTS), Form((), SCALED), Form((), SUMS)),
    *(Form((0,)), Form((0,), MOMENTS), Form((0,), SUMS)),
)
FORMS = {
    "conv2d": ONE_IMAGE,
    "conv2d_input_grad": ONE_IMAGE,
    "conv2d_weight_grad": (PLAIN, Form((0,)), Form((1,)), Form((0, 1))),
}
GEOMETRIES = {"3 x 3": (3, 3, 2, 0), "1 x 1": (1, 1, 1, 0)}  # of the networks; with stride and pad


def convolution(
    rng: Rng,
    operation: str,
    precision: str,
    big: int,
    small: int,
    form: Form = PLAIN,
    geometry: str | None = None,
    tiling: str | None = None,
    parts: int | None = None,
    most: int = 17,
    images: int = 1,
) -> Call:
    """One of the three operations on ``images`` or more, of random sides up to ``most``.

    The kernel, the stride and the padding are random without ``geometry``.
    """
    dtype = np.dtype(np.float64 if precision == "float64" else np.float32)
    drawn = [int(rng.integers(*ends)) for ends in ((1, 4), (1, 4), (1, 4), (0, 3))]
    kh, kw, stride, pad = drawn if geometry is None else GEOMETRIES[geometry]
    n, h, w = int(rng.integers(images, 4)), *(int(i) for i in rng.integers(3, most + 1, 2))
    oh, ow = output_hw((h, w), (kh, kw), stride, pad)
    shapes = (n, h, w, big), (n, oh, ow, small)
    x, gy = (rng.uniform(-1, 2, shape).astype(dtype) for shape in shapes)
    if form.reads:
        x, gy = (on_grid(rng, shape, dtype) for shape in shapes)
    weights = rng.uniform(-1, 2, (kh, kw, big, small)).astype(dtype)
    arguments: tuple[Any, ...] = {
        "conv2d": (x, weights),
        "conv2d_input_grad": (gy, weights, (h, w)),
        "conv2d_weight_grad": (x, gy, (kh, kw)),
    }[operation]
    if precision == "tf32":
        arguments = tuple(to_tf32(a) if isinstance(a, np.ndarray) else a for a in arguments)
    output = shapes[operation == "conv2d"]

    def run(*given: Any) -> Any:
        norms, rest = given[: len(vectors)], given[len(vectors) :]
        extra, arguments = rest[: len(more)], list(rest[len(more) :])
        for i, place in enumerate(form.reads):
            arguments[place] = normalized(arguments[place], norms[5 * i : 5 * i + 5])
        run_operation = partial(getattr(conv2d, operation), *arguments, stride=stride, pad=pad)
        with chosen(tiling, parts), tf32(precision == "tf32"):
            if form.epilogue == MOMENTS:
                return _with_moments(run_operation, *extra)
            if form.epilogue == SCALED:
                return run_operation(epilogue=ScaleShiftReLU(*extra))
            if form.epilogue == SUMS:
                return _with_sums(run_operation, extra[0], extra[1:])
            return run_operation()

    channels = [arguments[place].shape[-1] for place in form.reads]
    vectors = [vector for c in channels for vector in norm_vectors(rng, c, dtype)]
    more: tuple[Array, ...] = ()
    if form.epilogue == MOMENTS:
        more = tuple(rng.uniform(0.1, 1, (4, output[-1])).astype(dtype))
    elif form.epilogue == SCALED:
        more = tuple(rng.uniform(-1, 1, (2, output[-1])).astype(dtype))
    elif form.epilogue == SUMS:
        more = on_grid(rng, output, dtype), *norm_vectors(rng, output[-1], dtype)
    return Call(run, (*vectors, *more, *arguments))


def _with_moments(run: Callable[..., Any], gamma: Any, beta: Any, mean: Any, var: Any) -> Any:
    """With running moments, which are moved."""
    moments = Moments(Norm(gamma, beta, 0.1, mean, var, 0.3))
    y = run(epilogue=moments)
    assert moments.norm is not None
    return y, moments.mean, moments.var, moments.norm.scale, moments.norm.shift, mean, var


def _with_sums(run: Callable[..., Any], before: Any, vectors: Sequence[Any]) -> Any:
    """With what the sums are for: the gradient of the batch norm and the ReLU before."""
    sums = GradSums(normalized(before, vectors))
    y = run(epilogue=sums)
    scale, _, mean, beta, var = vectors
    rest = mean, var, scale, beta, 0.0, False, sums.parts
    return y, *batchnorm.normalize_relu_grad(before, y, *rest)


def on_grid(rng: Rng, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Numbers from -1 to 2 that are still numbers of TF32 when `norm_vectors` have normalised
    them, and never 0 then, so that rounding decides nothing."""
    drawn: Array = (rng.integers(-64, 129, shape) / 64).astype(dtype)
    return drawn


def norm_vectors(rng: Rng, c: int, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    """Scale, shift and mean, then beta and variance with which a batch norm without eps has these;
    its gamma is the scale."""
    scale = rng.choice([-2, -1, 1, 2], c)
    shift, mean = rng.integers(-8, 8, c) / 8 + 1 / 128, rng.integers(-8, 8, c) / 8
    vectors = scale, shift, mean, shift + scale * mean, np.ones(c)
    return tuple(vector.astype(dtype) for vector in vectors)


def normalized(x: Any, vectors: Sequence[Any]) -> Normalized:
    """An image yet to be normalised, by what `norm_vectors` gives."""
    scale, shift, mean, beta, var = vectors

    def array() -> Any:
        return batchnorm.normalize_relu(x, mean, var, scale, beta, 0.0)

    return Normalized(x, scale, shift, mean, array)


def convolutions(name: str, precision: str, group: str, **options: Any) -> Iterator[Case]:
    """All three operations, in each form that they have."""
    for operation, forms in FORMS.items():
        for form in forms:
            options |= {"operation": operation, "precision": precision, "form": form}
            words = f"{operation}, {name} {form}".rstrip()
            yield Case(words, precision, partial(convolution, **options), f"{group} {operation}")


def few_channels() -> Iterator[Case]:
    """The kernels for larger images of few channels, which round nothing."""
    for big in range(1, FEW + 1):
        name, group = f"{big} channels", "few channels"
        small = 68 if big % 2 else 37
        yield from convolutions(name, "float32", group, big=big, small=small, most=29)
        of_networks = {"big": big, "small": 64, "geometry": "3 x 3", "most": 29}
        yield from convolutions(f"{name}, 3 x 3", "float32", group, **of_networks)
        mixing = {"big": big, "small": 1, "geometry": "1 x 1", "most": 29}
        yield from convolutions(f"{name}, 1 x 1", "float32", "pointwise", **mixing)


def tensor_cores() -> Iterator[Case]:
    """All tilings, on results smaller and larger than a tile, in one part and in several."""
    in_fours = ((8, 132, 1), (48, 16, 3), (144, 80, 1), (12, 8, 5))
    for tiling in TILINGS:
        precision = "float32" if tiling.endswith("Precise") else "tf32"
        narrow = ((9, 131, 1), (35, 18, 3), (130, 73, 1)) if tiling.startswith("Narrow") else ()
        for big, small, parts in narrow or in_fours:
            yield from convolutions(
                f"{tiling}, {big} x {small}, parts {parts}",
                precision,
                "tensor cores",
                big=big,
                small=small,
                tiling=tiling,
                parts=parts,
                most=13,
            )


def plain_convolutions() -> Iterator[Case]:
    """Sizes and dtypes that no other kernel accepts."""
    operation = "conv2d_weight_grad"
    for precision in ("float32", "float64"):
        yield from convolutions("plain", precision, "plain", big=5, small=3)
        # One row alone, which chance may make of the above, is not shared among blocks.
        options: dict[str, Any] = {
            "operation": operation,
            "precision": precision,
            "big": 5,
            "small": 3,
        }
        several = partial(convolution, images=2, **options)
        yield Case(f"{operation}, plain, several rows", precision, several, f"plain {operation}")


def late_weight_gradients() -> Iterator[Case]:
    """Gradients whose parts are added up together, more of them than in one launch."""

    def make(precision: str, rng: Rng) -> Call:
        dtype = np.dtype(precision)
        shapes = (2, 9, 7, 5), (2, 4, 3, 3)
        pairs = [
            rng.uniform(-1, 2, shape).astype(dtype)
            for _ in range(MOST_ARRAYS + 2)
            for shape in shapes
        ]

        def run(*arrays: Any) -> Any:
            with chosen(parts=3), late_sums(), postponed():
                xs, gys = arrays[::2], arrays[1::2]
                return tuple(
                    map(partial(conv2d.conv2d_weight_grad, kernel_hw=(3, 3), stride=2), xs, gys)
                )

        return Call(run, tuple(pairs))

    for precision in ("float32", "float64"):
        name = "conv2d_weight_grad, added up late"
        yield Case(name, precision, partial(make, precision), "late sums")
