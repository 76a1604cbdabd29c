"""``python -m bench costs``: what the steps of the CPU kernels cost in NumPy.

Each row of the first table is one thing done in two ways, the plain one and the one that the
kernels use, on arrays that fit a core's cache. The second has matrix products of the shapes that
the kernels multiply. One thread works, and a time is the best of many.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import click
import numpy as np
from numpy.lib.stride_tricks import as_strided
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from bench.common import options, text
from bench.common.machine import conditions

PIXELS, CHANNELS = 2048, 64  # half a megabyte
WIDE = 8192  # elements of a row that NumPy broadcasts at full speed
SECONDS = 0.2  # spent on each way

Way = Callable[[], Any]


@dataclass(frozen=True)
class Cost:
    """One thing in two ways, in nanoseconds per element."""

    what: str
    plain: str
    plain_ns: float
    used: str
    used_ns: float


@dataclass(frozen=True)
class Product:
    """A matrix product ``(m, k) @ (k, n)`` and its rate."""

    what: str
    m: int
    k: int
    n: int
    gflops: float


def measure() -> list[Cost]:
    """All rows of the first table."""
    with threadpool_limits(1, user_api="blas"):
        rng = np.random.default_rng(0)
        return [*elementwise(rng), windows(rng), memory()]


def elementwise(rng: np.random.Generator) -> list[Cost]:
    """What batch norm and ReLU do to pixels of 64 channels, forward and backward."""
    x = rng.standard_normal((PIXELS, CHANNELS), np.float32)
    out = np.empty_like(x)
    vector = rng.standard_normal(CHANNELS, np.float32)
    repeated = np.tile(vector, WIDE // CHANNELS)
    wide, wide_out = x.reshape(-1, WIDE), out.reshape(-1, WIDE)
    zeros = np.zeros(WIDE, np.float32)
    positive = rng.random(x.shape) < 0.5
    ones = np.ones(PIXELS, np.float32)
    return [
        cost(
            "multiply by a vector of 64 channels",
            x.size,
            "rows of 64",
            lambda: np.multiply(x, vector, out=out),
            f"rows of {WIDE}, the vector repeated",
            lambda: np.multiply(wide, repeated, out=wide_out),
        ),
        cost(
            "ReLU",
            x.size,
            "maximum with a number",
            lambda: np.maximum(x, 0, out=out),
            f"maximum with {WIDE} zeros",
            lambda: np.maximum(wide, zeros, out=wide_out),
        ),
        cost(
            "keep the gradient where the output is positive",
            x.size,
            "where",
            lambda: np.where(positive, x, np.float32(0)),
            "multiply by the mask",
            lambda: np.multiply(x, positive, out=out),
        ),
        cost(
            "sum over the pixels",
            x.size,
            "sum(0)",
            lambda: x.sum(0),
            "product with ones",
            lambda: ones @ x,
        ),
    ]


def windows(rng: np.random.Generator) -> Cost:
    """Windows of 3 x 3 at stride 2 in an image of one channel, gathered for a matrix product."""
    x = rng.standard_normal((255, 255), np.float32)
    h, w = x.strides
    view = as_strided(x, (127, 127, 3, 3), (2 * h, 2 * w, h, w))
    pixels = np.empty((127, 127, 3, 3), np.float32)
    taps = np.empty((3, 3, 127, 127), np.float32)
    return cost(
        "gather windows of one channel",
        view.size,
        "pixel by pixel",
        lambda: np.copyto(pixels, view),
        "tap by tap",
        lambda: np.copyto(taps, view.transpose(2, 3, 0, 1)),
    )


def memory() -> Cost:
    """An array as large as a layer's output."""
    size = 32 * 2**20
    kept = np.empty(size, np.float32)
    return cost(
        "fill 128 MB",
        size,
        "a new array",
        lambda: np.empty(size, np.float32).fill(1),
        "an old one",
        lambda: kept.fill(1),
    )


PRODUCTS = {
    "large and square": (1536, 1536, 1536),
    "layer 127 x 127 x 64 to 63 x 63 x 128, forward": (1386, 576, 128),
    "its weights' gradient": (576, 1386, 128),
    "its adjoint": (1386, 128, 576),
    "layer 63 x 63 x 128 to 31 x 31 x 256, forward": (682, 1152, 256),
    "layer 255 x 255 x 1 to 127 x 127 x 64, forward": (32258, 9, 64),
    "layer 127 x 127 x 64 to 255 x 255 x 1, forward": (32258, 64, 9),
}


def products() -> list[Product]:
    """Products of the shapes that tiles of the network's layers have."""
    rng = np.random.default_rng(0)
    found = []
    with threadpool_limits(1, user_api="blas"):
        for what, (m, k, n) in PRODUCTS.items():
            a, b = (rng.standard_normal(shape, np.float32) for shape in ((m, k), (k, n)))
            out = np.empty((m, n), np.float32)
            seconds = best_seconds([partial(np.matmul, a, b, out=out)])[0]
            found.append(Product(what, m, k, n, 2e-9 * m * k * n / seconds))
    return found


def cost(what: str, size: int, plain: str, first: Way, used: str, second: Way) -> Cost:
    """Time two ways of ``size`` elements."""
    first_ns, second_ns = (seconds / size * 1e9 for seconds in best_seconds([first, second]))
    return Cost(what, plain, first_ns, used, second_ns)


def best_seconds(ways: list[Way]) -> list[float]:
    """The shortest time of each way; they take turns."""
    best = [float("inf")] * len(ways)
    end = time.perf_counter() + len(ways) * SECONDS
    while time.perf_counter() < end:
        for i, way in enumerate(ways):
            start = time.perf_counter()
            way()
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def table(costs: list[Cost]) -> Table:
    """The rows for a person to read."""
    result = Table(title="Nanoseconds per element in NumPy, one thread")
    result.add_column("what")
    for heading in ("plain", "used here"):
        result.add_column(heading)
        result.add_column("ns", justify="right")
    for c in costs:
        result.add_row(c.what, c.plain, f"{c.plain_ns:.2f}", c.used, f"{c.used_ns:.2f}")
    return result


def products_table(found: list[Product]) -> Table:
    """The products for a person to read, with their share of the rate of the large one."""
    shown = text.table(
        "Matrix products (m, k) @ (k, n) in NumPy, one thread",
        [],
        ["m", "k", "n", "GFLOP/s", "share"],
        prose=["what"],
    )
    for p in found:
        share = text.share(p.gflops / found[0].gflops, 0)
        shown.add_row(p.what, str(p.m), str(p.k), str(p.n), f"{p.gflops:.0f}", share)
    return shown


@click.command()
@options.as_json
def costs(as_json: bool) -> None:
    """Time what the kernels are made of in NumPy, in the plain way and in the one that is used."""
    found, multiplied = measure(), products()
    if as_json:
        report = {
            "machine": conditions(),
            "costs": [asdict(c) for c in found],
            "products": [asdict(p) for p in multiplied],
        }
        click.echo(json.dumps(report))
    else:
        Console().print(table(found), products_table(multiplied))
