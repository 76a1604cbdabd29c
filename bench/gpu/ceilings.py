"""What this GPU can do at best, measured: memory, L2, arithmetic, tensor cores, launches."""

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
from bench.gpu.reporting import Report, quiet
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
    Kernel(str(HERE / "l2.cu"), "ceiling_l2", 256, 4 * 256 * 16, 40),
    Kernel(str(HERE / "tensor_cores.cu"), "ceiling_mma", 256, 0, 64),
)
L2_BLOCKS = 132 * 8

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


def fetch(x: Any, rounds: int, y: Any) -> None:
    """Fetch of ``x (n, 4)`` to shared memory, 16 bytes per thread of ``y (blocks, 256)`` and round;
    ``y`` is the first number of the last round."""
    launch.launch("ceiling_l2", (len(y),), x, np.int32(len(x)), np.int32(rounds), y)


def worker(clock: DeviceClock) -> Work:
    """Answers with the seconds and the amount of one of `WHAT`."""

    def work(request: Answer) -> Answer:
        gpu, rng = launch.gpu(), np.random.default_rng(0)
        size, rounds, repeats = request["size"], request["rounds"], request["repeats"]
        what = request["what"]
        with added():
            if what == "launch":
                counter = gpu.put(np.zeros((), np.int64))

                def count() -> None:
                    for _ in range(rounds):
                        launch.launch("count_step", (1,), counter)

                count()
                return {"seconds": clock.seconds(gpu.record(count), repeats), "amount": rounds}
            if what in ("copy", "driver's copy", "l2"):
                x = gpu.put(rng.standard_normal((size, 4), np.float32))
                if what == "l2":
                    y = gpu.empty((L2_BLOCKS // request["shrink"] or 1, 256), np.float32)
                    seconds = clock.seconds(lambda: fetch(x, rounds, y), repeats)
                    return {"seconds": seconds, "amount": 16 * rounds * y.size}
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
    "l2": ("GB/s", 2**20, 1024),  # 16 MiB, which L2 holds
    "fma": ("TFLOP/s", 132 * 64, 4096),
    "mma": ("TFLOP/s", 132 * 32, 2048),
    "launch": ("us", 1, 500),  # from one of a graph's kernels to the next, its own time included
}
SCALES = {"GB/s": 1e9, "TFLOP/s": 1e12}


def measure(
    session: Session,
    shrink: int = 1,
    theirs: Session | None = None,
    repeats: int = REPEATS,
    report: Report = quiet,
) -> dict[str, Any]:
    """The median of each ceiling; ``shrink`` divides sizes and rounds, for a trial.

    ``theirs`` is PyTorch, whose product of large matrices is timed too.
    """
    requests: dict[str, tuple[Session, dict[str, Any]]] = {}
    for what, (_, size, rounds) in WHAT.items():
        sizes = {"size": max(1, size // shrink), "rounds": max(1, rounds // shrink)}
        requests[what] = session, {"what": what, "repeats": repeats, "shrink": shrink, **sizes}
    if theirs is not None:
        for precision in ("float32", "tf32"):
            words = {"what": "gemm", "precision": precision, "repeats": repeats}
            requests[f"cuBLAS {precision}"] = theirs, words
    found: dict[str, Any] = {}
    for i, (what, (asked, request)) in enumerate(requests.items()):
        unit = WHAT[what][0] if what in WHAT else "TFLOP/s"
        found[what] = _rates(asked, unit, **request)
        report({"ceiling": what, **found[what]}, found, (i + 1) / len(requests))
    return found


def _rates(session: Session, unit: str, **request: Any) -> dict[str, Any]:
    """The median and the range of the rates, or of the times where the unit is one."""
    try:
        answer = session.ask(**request)
    except RequestFailed as error:
        return error.as_dict()
    seconds, amount = answer["seconds"], answer["amount"]
    if unit == "us":
        rates = sorted(1e6 * s / amount for s in seconds)
    else:
        rates = sorted(amount / s / SCALES[unit] for s in seconds)
    return {"unit": unit, "rate": median(rates), "least": rates[0], "most": rates[-1]}


def rate(found: dict[str, Any] | None, what: str) -> float | None:
    """A ceiling's rate, in the unit of `WHAT`; None where it was not measured."""
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
            what, f"{row['rate']:.4g}", f"{row['least']:.4g}..{row['most']:.4g}", row["unit"]
        )
    return [shown]
