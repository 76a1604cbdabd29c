"""What this GPU can do at best, measured: memory, plain arithmetic and tensor cores."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.table import Table

from bench.common import text
from bench.common.worker import Answer, Work
from bench.gpu.clock import DeviceClock
from bench.gpu.session import RequestFailed, Session
from minispiral.kernels.cuda import launch, table
from minispiral.kernels.cuda.table import Kernel

HERE = Path(__file__).resolve().parent

# Operations per round: eight multiply-adds per thread; eight products of 16 x 8 x 8 per warp.
FMA, MMA = 2 * 8, 2 * 8 * 16 * 8 * 8
WARP = 32

KERNELS = (
    Kernel(str(HERE / "ceilings.cu"), "ceiling_copy", 256, 0, 40),
    Kernel(str(HERE / "ceilings.cu"), "ceiling_fma", 256, 0, 40),
    Kernel(str(HERE / "tensor_cores.cu"), "ceiling_mma", 256, 0, 64),
)

REPEATS = 15


@contextmanager
def added() -> Iterator[None]:
    """Inside this context the kernels of this folder can be launched."""
    table.KERNELS.update((kernel.expression, kernel) for kernel in KERNELS)
    try:
        yield
    finally:
        for kernel in KERNELS:
            del table.KERNELS[kernel.expression]


def copy(x: Any, y: Any) -> None:
    """``y = x`` for arrays ``(n, 4)`` of float32."""
    grid = (launch.blocks(len(x), 4 * 256),)
    launch.launch("ceiling_copy", grid, x, np.int32(len(x)), y)


def multiply_add(x: Any, rounds: int, y: Any) -> None:
    """``y (blocks, 256)``: the sum of ``0 .. 7``, each times ``x[0]`` plus ``x[1]``, ``rounds``
    times."""
    launch.launch("ceiling_fma", (len(y),), x, np.int32(rounds), y)


def multiply_matrices(x: Any, rounds: int, y: Any) -> None:
    """``8 * rounds`` times the products of ``x (blocks, 8, 32, 6)`` in ``y (blocks, 8, 32, 4)``."""
    launch.launch("ceiling_mma", (len(y),), x, np.int32(rounds), y)


def worker(clock: DeviceClock) -> Work:
    """Answers with the seconds and the amount of one of `WHAT`."""

    def work(request: Answer) -> Answer:
        gpu, rng = launch.gpu(), np.random.default_rng(0)
        size, rounds, repeats = request["size"], request["rounds"], request["repeats"]
        what = request["what"]
        with added():
            if what in ("copy", "driver's copy"):
                x = gpu.put(rng.standard_normal((size, 4), np.float32))
                y = gpu.empty((size, 4), np.float32)
                run = clock.copy if what == "driver's copy" else lambda to, x: copy(x, to)
                seconds = clock.seconds(lambda: run(y, x), repeats)
                return {"seconds": seconds, "amount": 2 * x.nbytes}
            if what == "fma":
                x = gpu.put(np.array([0.999, 0.37], np.float32))
                y = gpu.empty((size, 256), np.float32)
                seconds = clock.seconds(lambda: multiply_add(x, rounds, y), repeats)
                return {"seconds": seconds, "amount": FMA * rounds * y.size}
            x = gpu.put(rng.standard_normal((size, 8, WARP, 6), np.float32))
            y = gpu.empty((size, 8, WARP, 4), np.float32)
            seconds = clock.seconds(lambda: multiply_matrices(x, rounds, y), repeats)
            return {"seconds": seconds, "amount": MMA * rounds * size * 8}

    return work


# The unit, and the size and rounds of a full measurement.
WHAT = {
    "copy": ("GB/s", 2**24, 1),  # 256 MiB each way
    "driver's copy": ("GB/s", 2**24, 1),
    "fma": ("TFLOP/s", 132 * 64, 4096),
    "mma": ("TFLOP/s", 132 * 32, 2048),
}


def measure(
    session: Session, shrink: int = 1, theirs: Session | None = None, repeats: int = REPEATS
) -> dict[str, Any]:
    """The median of each ceiling; ``shrink`` divides sizes and rounds, for a trial.

    ``theirs`` is PyTorch, whose product of large matrices is timed too.
    """
    found: dict[str, Any] = {}
    for what, (unit, size, rounds) in WHAT.items():
        sizes = {"size": max(1, size // shrink), "rounds": max(1, rounds // shrink)}
        found[what] = _rates(session, unit, what=what, repeats=repeats, **sizes)
    if theirs is not None:
        for precision in ("float32", "tf32"):
            asking = {"what": "gemm", "precision": precision, "repeats": repeats}
            found[f"cuBLAS {precision}"] = _rates(theirs, "TFLOP/s", **asking)
    return found


def _rates(session: Session, unit: str, **request: Any) -> dict[str, Any]:
    """The median and the range of the rates."""
    try:
        answer = session.ask(**request)
    except RequestFailed as error:
        return {"error": str(error)}
    scale = 1e9 if unit == "GB/s" else 1e12
    rates = sorted(answer["amount"] / s / scale for s in answer["seconds"])
    return {"unit": unit, "rate": median(rates), "least": rates[0], "most": rates[-1]}


def rate(found: dict[str, Any] | None, what: str) -> float | None:
    """A ceiling's rate, in GB/s or TFLOP/s; None where it was not measured."""
    rate: float | None = (found or {}).get(what, {}).get("rate")
    return rate


def tables(found: dict[str, Any]) -> Iterable[Table]:
    """The report for a person to read."""
    shown = text.table("What this GPU can do at best", ["what"], ["median", "range", "unit"])
    for what, row in found.items():
        if "error" in row:
            shown.add_row(what, "", row["error"], "")
            continue
        shown.add_row(
            what, f"{row['rate']:.0f}", f"{row['least']:.0f}..{row['most']:.0f}", row["unit"]
        )
    return [shown]
