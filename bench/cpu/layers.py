"""Every distinct layer of Spiral-Net alone: forward, input gradient and weight gradient."""

import time
from collections.abc import Iterable
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from rich.table import Table

from bench.cpu.layer import OPERATIONS, Layer, distinct_layers
from bench.cpu.network import network_of
from bench.cpu.race import LAYOUTS, OURS, REST, Start, open_workers
from bench.cpu.task import Task
from bench.cpu.text import busy, ratio
from bench.machine import sgemm_gflops
from bench.worker import Worker


def measure(task: Task, repeats: int, torch: bool) -> dict[str, Any]:
    """Time all layers, minispiral and PyTorch's layouts taking turns at each."""
    network = network_of(task, np.random.default_rng(0))
    counts = distinct_layers(network, task.batch, task.side)
    starts: dict[str, Start] = {OURS: partial(Worker, "cpu.layers_ours")}
    for layout in LAYOUTS if torch else ():
        starts[layout] = partial(Worker, "cpu.layers_theirs", "--layout", layout)
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
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    for _ in range(repeats):
        for name, worker in workers.items():
            answers[name].append(worker.ask(layer.request()))
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
    """Seconds of a whole step in these operations: ours, and PyTorch's best layout of each."""
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
    """The report for a person to read."""
    shown = Table(
        title=(
            f"The layers of Spiral-Net, width {report['width']:g}, batch {report['batch']}: ms, "
            "share of the sgemm peak, time over PyTorch's"
        ),
        caption="\n".join(
            [
                f"sgemm peak in the same run: {report['sgemm_gflops']:.0f} GFLOP/s. "
                "PyTorch's time is the best of NCHW and channels_last, for each operation.",
                *busy(report),
            ]
        ),
        caption_justify="left",
    )
    shown.add_column("layer", no_wrap=True)
    shown.add_column("times", justify="right")
    shown.add_column("GFLOP", justify="right")
    for operation in OPERATIONS:
        for column in (operation.replace("_grad", " gradient"), "sgemm", "ratio"):
            shown.add_column(column, justify="right")
    for row in report["layers"]:
        cells = [row["layer"], str(row["count"]["forward"]), f"{row['gflop']:.2f}"]
        for operation in OPERATIONS:
            found = row[operation]
            cells += [
                f"{1e3 * found['seconds']:.2f}",
                f"{found['share_of_sgemm']:.0%}",
                ratio(found["ratio"]),
            ]
        shown.add_row(*cells)
    shown.add_section()
    cells = ["a whole step", "", ""]
    for operation in OPERATIONS:
        found = report["sums"][operation]
        cells += [f"{1e3 * found['seconds']:.0f}", "", ratio(found["ratio"])]
    shown.add_row(*cells)
    return [shown]
