"""Every distinct layer of Spiral-Net alone: forward, input gradient and weight gradient."""

import time
from collections.abc import Iterable
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from bench.common import text
from bench.common.convolution import operations, random_arrays
from bench.common.engines import LAYOUTS, OURS
from bench.common.layer import OPERATIONS, Layer, time_operations
from bench.common.machine import sgemm_gflops
from bench.common.network import distinct_layers, network_of
from bench.common.task import Task
from bench.common.worker import Answer, Served, Worker
from bench.cpu.race import REST, Start, open_workers
from minispiral.kernels.cpu import parallel


def worker() -> Served:
    """Times the operations of the layer in each request."""

    def work(request: dict[str, Any]) -> Answer:
        layer = Layer(**request["layer"])
        return time_operations(operations(layer, *random_arrays(layer, np.random.default_rng(0))))

    return {"threads": parallel.threads()}, work


def measure(task: Task, repeats: int, torch: bool) -> dict[str, Any]:
    """Time all layers, minispiral and PyTorch's layouts taking turns at each."""
    network = network_of(task, np.random.default_rng(0))
    counts = distinct_layers(network, task.batch, task.side)
    starts: dict[str, Start] = {OURS: partial(Worker, "cpu.layers")}
    for layout in LAYOUTS if torch else ():
        starts[layout] = partial(Worker, "torch.layers", layout=layout)
    rows, peak = [], 0.0
    with open_workers(starts) as workers:
        for i, (layer, count) in enumerate(counts.items()):
            rows.append(time_layer(layer, count, workers, repeats))
            if i % 5 == 0:
                peak = max(peak, sgemm_gflops())
    for row in rows:
        for operation in OPERATIONS:
            row[operation]["share_of_sgemm"] = row[operation]["gflops"] / peak
    return {
        **vars(task),
        "sgemm_gflops": peak,
        "layers": rows,
        "sums": {operation: sums(rows, [operation]) for operation in OPERATIONS}
        | {"all": sums(rows, OPERATIONS)},
    }


def time_layer(
    layer: Layer, count: dict[str, int], workers: dict[str, Worker], repeats: int
) -> dict[str, Any]:
    """Medians of the three operations."""
    answers: dict[str, list[Answer]] = {name: [] for name in workers}
    for _ in range(repeats):
        for name, worker in workers.items():
            answers[name].append(worker.ask(layer=vars(layer)))
            time.sleep(REST if len(workers) > 1 else 0)
    row: dict[str, Any] = {"layer": str(layer), **vars(layer), "oh": layer.oh, "count": count}
    row["gflop"] = layer.gflop
    for operation in OPERATIONS:
        seconds = {
            name: median(answer[operation] for answer in found) for name, found in answers.items()
        }
        ours = seconds.pop(OURS)
        row[operation] = {
            "seconds": ours,
            "gflops": layer.gflop / ours,
            "torch": seconds,
            "ratio": ours / min(seconds.values()) if seconds else None,
        }
    return row


def sums(rows: Iterable[dict[str, Any]], operations: Iterable[str]) -> dict[str, float | None]:
    """Seconds of a step in these operations: ours, and PyTorch's best layout of each."""
    ours, theirs, known = 0.0, 0.0, True
    operations = tuple(operations)
    for row in rows:
        for operation in operations:
            found, count = row[operation], row["count"][operation]
            ours += count * found["seconds"]
            theirs += count * min(found["torch"].values(), default=0.0)
            known &= bool(found["torch"])
    return {
        "seconds": ours,
        "torch_seconds": theirs if known else None,
        "ratio": ours / theirs if known else None,
    }


def tables(report: dict[str, Any]) -> list[Table]:
    """The report for a person to read, a table for each operation."""
    return [table(report, operation) for operation in OPERATIONS]


def table(report: dict[str, Any], operation: str) -> Table:
    """One operation of all layers, and of a whole step; the last table has the notes."""
    notes = [
        f"sgemm peak in the same run: {report['sgemm_gflops']:.0f} GFLOP/s. "
        "PyTorch's time is that of its faster layout.",
        *text.busy(report),
    ]
    shown = text.table(
        f"Spiral-Net, width {report['width']:g}, batch {report['batch']}: "
        + operation.replace("_grad", " gradient"),
        ["layer"],
        ["times", "ms", "GFLOP/s", "peak", "PyTorch", "ratio"],
        *(notes if operation == OPERATIONS[-1] else ()),
        box=SIMPLE_HEAD,
        padding=0,
    )
    for row in report["layers"]:
        found = row[operation]
        shown.add_row(
            row["layer"],
            str(row["count"][operation]),
            text.milliseconds(found["seconds"], 2),
            f"{found['gflops']:.0f}",
            text.share(found["share_of_sgemm"], 0),
            text.milliseconds(min(found["torch"].values(), default=None), 2),
            text.ratio(found["ratio"]),
        )
    shown.add_section()
    sums = report["sums"][operation]
    seconds, theirs = (text.milliseconds(sums[key], 0) for key in ("seconds", "torch_seconds"))
    shown.add_row("a whole step", "", seconds, "", "", theirs, text.ratio(sums["ratio"]))
    return shown
