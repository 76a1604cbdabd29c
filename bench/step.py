"""Seconds per training step of the full Spiral-Net, against this machine's own limits."""

import importlib.util
import os
import time
from statistics import median
from typing import Any

import numpy as np
from rich.table import Table

from bench.worker import Worker, WorkerError

SIDE = 255  # pixels, the patch of Section 4.2
LAYOUTS = ("NCHW", "channels_last")
WARM_UP = 2  # steps taken before any is timed: buffers are made, PyTorch compiles
REST = 0.3  # seconds in which the idle threads of the engine before fall asleep
SGEMM_SIDE = 3072
BUSY = 0.5  # load average of the minute before, above which others disturb the measurement

COUNTED = (
    "GFLOP counts two per multiply-add of the convolutions: 3 x forward, less the input gradient "
    "of the first layer. Batch norm, ReLU, loss and Adam are done but not counted."
)


def measure(
    batch: int, width: float, repeats: int, *, torch: bool, compiled: bool
) -> dict[str, Any]:
    """Time ``repeats`` steps of minispiral and of every form of PyTorch, taking turns.

    After each round the sgemm peak is measured as well: the best of all large NumPy matrix
    products, on all threads.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    size = ["--batch", str(batch), "--side", str(SIDE), "--width", str(width)]
    workers: dict[str, Worker] = {}
    errors: dict[str, str] = {}
    try:
        workers["minispiral"] = Worker("spiral", *size)
        if torch and importlib.util.find_spec("torch") is not None:
            for layout in LAYOUTS:
                workers[layout] = Worker("torch_spiral", *size, "--layout", layout)
                if compiled:
                    workers[f"{layout} compiled"] = Worker(
                        "torch_spiral", *size, "--layout", layout, "--compile"
                    )
        if len({worker.facts["parameters"] for worker in workers.values()}) > 1:
            raise WorkerError("the networks differ in their number of parameters")
        for name, worker in list(workers.items()):
            try:
                for _ in range(WARM_UP):
                    worker.step()
            except WorkerError as error:
                if name == "minispiral":
                    raise
                errors[name] = str(error)
                workers.pop(name).close()
        peak = 0.0
        for _ in range(repeats):
            for worker in workers.values():
                time.sleep(REST)
                worker.seconds.append(worker.step())
            time.sleep(REST)
            peak = max(peak, sgemm_gflops())
    finally:
        for worker in workers.values():
            worker.close()

    ours = workers.pop("minispiral")
    gflop = ours.facts["gflop"]
    report = {
        "network": "spiral",
        "batch": batch,
        "side": SIDE,
        "width": width,
        "parameters": ours.facts["parameters"],
        "cores": os.cpu_count(),
        "load_before": load,
        "gflop_per_step": gflop,
        "counted": COUNTED,
        "sgemm_gflops": peak,
        "minispiral": result(ours, gflop, peak),
        "torch": None,
    }
    if workers:
        forms = {name: result(worker, gflop, peak) for name, worker in workers.items()}
        best = min(forms, key=lambda name: float(forms[name]["step_seconds"]))
        report["torch"] = {
            "version": next(iter(workers.values())).facts["version"],
            "forms": forms,
            "errors": errors,
            "best": best,
            "seconds_over_ours": forms[best]["step_seconds"] / median(ours.seconds),
        }
    return report


def result(worker: Worker, gflop: float, peak: float) -> dict[str, Any]:
    seconds = median(worker.seconds)
    return {
        "step_seconds": seconds,
        "fastest_seconds": min(worker.seconds),
        "slowest_seconds": max(worker.seconds),
        "gflops": gflop / seconds,
        "share_of_sgemm": gflop / seconds / peak,
        "peak_mib": worker.peak_mib,
        "threads": worker.facts["threads"],
        "parameters": worker.facts["parameters"],
    }


def sgemm_gflops() -> float:
    """The best of three float32 matrix products by NumPy's BLAS, in GFLOP/s."""
    rng = np.random.default_rng(0)
    a, b = rng.random((2, SGEMM_SIDE, SGEMM_SIDE), dtype=np.float32)
    product = np.empty_like(a)
    best = 0.0
    for _ in range(3):
        start = time.perf_counter()
        np.matmul(a, b, out=product)
        best = max(best, 2 * SGEMM_SIDE**3 / (time.perf_counter() - start) / 1e9)
    return best


def table(report: dict[str, Any]) -> Table:
    """The report for a person to read."""
    ours, torch = report["minispiral"], report["torch"]
    rows = {"minispiral": ours}
    notes = [
        f"sgemm peak in the same run: {report['sgemm_gflops']:.0f} GFLOP/s; "
        f"threads: {ours['threads']}; {report['gflop_per_step']:.0f} GFLOP a step.",
        COUNTED,
    ]
    if torch is not None:
        rows |= {f"torch {name}": form for name, form in torch["forms"].items()}
        notes = [
            f"PyTorch {torch['version']}, best of its forms ({torch['best']}), takes "
            f"{torch['seconds_over_ours']:.2f} times as long as minispiral.",
            *(f"torch {name}: {error}." for name, error in torch["errors"].items()),
            *notes,
        ]
    if (report["load_before"] or 0) > BUSY:
        notes.append(f"The machine was busy (load {report['load_before']:.1f}): measure again.")
    shown = Table(
        title=(
            f"Training step of Spiral-Net, width {report['width']:g} "
            f"({report['parameters']:,} parameters),\n"
            f"{report['batch']} x {report['side']} x {report['side']} pixels, float32, "
            "pseudo-F1, Adam included"
        ),
        caption="\n".join(notes),
        caption_justify="left",
    )
    shown.add_column("engine")
    for column in ("seconds", "range", "GFLOP/s", "sgemm", "MiB"):
        shown.add_column(column, justify="right", no_wrap=True)
    for name, row in rows.items():
        shown.add_row(
            name,
            f"{row['step_seconds']:.3f}",
            f"{row['fastest_seconds']:.2f}..{row['slowest_seconds']:.2f}",
            f"{row['gflops']:.0f}",
            f"{row['share_of_sgemm']:.0%}",
            f"{row['peak_mib']:.0f}",
        )
    return shown
