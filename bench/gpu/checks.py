"""Every kernel on this GPU against its NumPy twin."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from rich.table import Table

from bench.common import text
from bench.common.worker import Answer, Work
from bench.gpu.around import Around
from bench.gpu.case import Call
from bench.gpu.cases import TOLERANCES, cases
from bench.gpu.clock import DeviceClock
from bench.gpu.reporting import Report, quiet
from bench.gpu.session import RequestFailed, Session
from minispiral.kernels.cuda import launch
from minispiral.kernels.cuda.table import KERNELS, Kernel

ROUNDS = 3  # of fresh random numbers and shapes
# Of the cases of one group; then its others are left out.
MOST_ERRORS = 10
MOST_LOST = 3  # workers


class Watched(Around):
    """A GPU that notes which kernels run, and whose new arrays are filled with NaN."""

    def __init__(self, device: launch.Gpu) -> None:
        super().__init__(device)
        self.launched: set[str] = set()

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> launch.Array:
        dtype = np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        return self.device.put(np.full(count, 0xFF, np.uint8).view(dtype).reshape(shape))

    def launch(
        self,
        kernel: Kernel,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        arguments: list[Any],
    ) -> None:
        self.launched.add(kernel.expression)
        self.device.launch(kernel, grid, block, arguments)


def worker(clock: DeviceClock) -> Work:
    """Answers with the error of a case, over its tolerance, and the kernels it ran."""
    found = cases()

    def work(request: Answer) -> Answer:
        case = found[request["case"]]
        watched: Any = Watched(launch.gpu())
        with launch.using(watched):
            error = error_of(case.call(request["seed"], request["round"]), watched)
        return {"share": error / TOLERANCES[case.precision], "kernels": sorted(watched.launched)}

    return work


def error_of(call: Call, gpu: launch.Gpu) -> float:
    """The largest error over the largest number of a result; infinite for NaN or a wrong shape."""
    given = [gpu.put(a) if _is_array(a) else a for a in call.arguments]
    results = call.function(*given)
    # The twins compute in float64: rounding to float32 in there would count as an error here.
    exact = [_exact(a) if _is_array(a) else a for a in call.arguments]
    expected = call.function(*exact)
    if call.changed:
        results, expected = (tuple(of[i] for i in call.changed) for of in (given, exact))
    if isinstance(results, tuple):
        pairs = list(zip(results, expected, strict=True))
    else:  # several numbers of the twin are one array on the GPU
        pairs = [(results, np.array(expected))]
    return max(_largest(gpu.get(result), np.asarray(twin)) for result, twin in pairs)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def _exact(array: NDArray[Any]) -> NDArray[Any]:
    """A copy, in float64 if it holds floating-point numbers."""
    return array.astype(np.float64) if array.dtype.kind == "f" else array.copy()


def _largest(result: NDArray[Any], expected: NDArray[Any]) -> float:
    if result.shape != expected.shape:
        return float("inf")
    if result.size == 0:
        return 0.0
    difference = np.abs(result.astype(np.float64) - expected).max()
    scale = max(np.abs(expected).max(), np.finfo(np.float32).tiny)
    return float(difference / scale) if np.isfinite(difference) else float("inf")


def measure(
    session: Session, seed: int, rounds: int = ROUNDS, report: Report = quiet
) -> dict[str, Any]:
    """The largest error of each case; a case that fails is not tried again.

    Where cases of a group lose a worker, or fail, again and again, its others are left out: each
    would cost the start of a process or a compilation.
    """
    listed = cases()
    rows: list[dict[str, Any]] = []
    kernels: set[str] = set()
    errors, lost = Counter[str](), Counter[str]()

    def found() -> dict[str, Any]:
        return {
            "seed": seed,
            "rounds": rounds,
            "passed": len(rows) == len(listed) and all(map(passed, rows)),
            "kernels_not_run": sorted(set(KERNELS) - kernels),
            "tolerances": TOLERANCES,
            "cases": rows,
        }

    for i, case in enumerate(listed):
        row: dict[str, Any] = {"name": case.name, "precision": case.precision, "share": None}
        rows.append(row)
        left_out = errors[case.group] >= MOST_ERRORS or lost[case.group] >= MOST_LOST
        for round in range(0 if left_out else rounds):
            try:
                answer = session.ask(case=i, seed=seed, round=round)
            except RequestFailed as error:
                row |= error.as_dict()
                errors[case.group] += 1
                lost[case.group] += error.lost
            else:
                kernels.update(answer["kernels"])
                row["share"] = max(answer["share"], row["share"] or 0.0)
            if not passed(row):
                row["round"] = round
                break
        report(row, found(), (i + 1) / len(listed))
    return found()


def passed(row: dict[str, Any]) -> bool:
    """Whether a case was right in every round."""
    return "error" not in row and row["share"] is not None and row["share"] <= 1


def tables(found: dict[str, Any]) -> Iterable[Table]:
    """For each precision the number of cases and their largest error; then what failed."""
    shown = text.table(
        f"Kernels against their NumPy twins, {found['rounds']} rounds, seed {found['seed']}",
        [],
        ["right", "worst error", "tolerance"],
        "Error: the largest one over the largest number.",
        prose=["what"],
    )
    for precision, tolerance in found["tolerances"].items():
        rows = [row for row in found["cases"] if row["precision"] == precision]
        right = [row for row in rows if passed(row)]
        worst = max((row["share"] for row in right), default=0.0) * tolerance
        shown.add_row(precision, f"{len(right)} of {len(rows)}", f"{worst:.1e}", f"{tolerance:.0e}")
    shown.add_section()
    for row in found["cases"]:
        if passed(row):
            continue
        share = row["share"]
        error = "" if share is None else f"{share * found['tolerances'][row['precision']]:.1e}"
        words = row.get("error", "" if share is not None else "not tried after so many errors")
        shown.add_row(f"{row['name']}, {row['precision']} {words}", "[red]wrong", error, "")
    for name in found["kernels_not_run"]:
        shown.add_row(name, "not run", "", "")
    return [shown]
