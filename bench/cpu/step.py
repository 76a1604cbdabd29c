"""Where the time of a training step goes."""

import time
from statistics import median_low
from typing import Any

from rich.table import Table

from bench.common import text
from bench.common.engines import OURS
from bench.common.machine import sgemm_gflops
from bench.common.results import spread
from bench.common.task import Task
from bench.cpu.race import REST, open_workers, ours, warm_up
from minispiral.profiling import REST as OTHER

COUNTED = (
    "GFLOP counts two per multiply-add of the convolutions: 3 x forward, less the input gradient "
    "of the first layer. Batch norm, ReLU, loss and Adam are done but not counted."
)
GROUPS = ("convolution", "batch norm", "loss", "optimiser")  # kinds of work begin with these
LEAST_SHARE = 0.0005  # of the step; kinds that took less are not listed


def measure(task: Task, repeats: int) -> dict[str, Any]:
    """Steps with and without a profile in turn, and the parts of the profiled one in the middle.

    The parts are those of a single step, so they add up to it.
    """
    plain, profiles, peak = [], [], 0.0
    with open_workers(ours(task)) as workers:
        worker = workers[OURS]
        warm_up(workers)
        for _ in range(repeats):
            plain.append(worker.step())
            profiles.append(worker.ask(what="profile")["profile"])
            time.sleep(REST)
            peak = max(peak, sgemm_gflops())
    middle = median_low(profile["seconds"] for profile in profiles)
    profile = next(profile for profile in profiles if profile["seconds"] == middle)
    seconds = spread(plain)
    gflop, groups = worker.facts["gflop"], grouped(profile["kinds"])
    gflops = gflop / seconds["seconds"]
    return {
        **vars(task),
        **worker.facts,
        "sgemm_gflops": peak,
        **seconds,
        "gflops": gflops,
        "share_of_sgemm": gflops / peak,
        "share_of_sgemm_in_convolutions": gflop / groups["convolution"] / peak,
        "peak_mib": worker.peak_mib,
        "profiled_seconds": middle,
        "parts": groups,
        "kinds": profile["kinds"],
        "layers": profile["layers"],
    }


def group_of(kind: str) -> str:
    """The part of the step that a kind of work belongs to."""
    return next((group for group in GROUPS if kind.startswith(group)), OTHER)


def grouped(kinds: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Seconds by part of the step."""
    seconds = dict.fromkeys((*GROUPS, OTHER), 0.0)
    for kind, spent in kinds.items():
        seconds[group_of(kind)] += spent["seconds"]
    return seconds


def tables(report: dict[str, Any]) -> list[Table]:
    """The report for a person to read."""
    total = report["profiled_seconds"]
    shown = text.table(
        f"Training step of Spiral-Net, width {report['width']:g}, {report['batch']} x "
        f"{report['side']} x {report['side']} pixels, float32",
        ["part"],
        ["calls", "ms", "share"],
        f"Unprofiled: {report['seconds']:.3f} s ({report['fastest_seconds']:.2f} to "
        f"{report['slowest_seconds']:.2f}), {report['gflops']:.0f} GFLOP/s, "
        f"{text.share(report['share_of_sgemm'])} of the sgemm peak of "
        f"{report['sgemm_gflops']:.0f} GFLOP/s; "
        f"the convolutions alone {text.share(report['share_of_sgemm_in_convolutions'])}.",
        f"Memory at its peak: {report['peak_mib']:.0f} MiB; threads: {report['threads']}.",
        COUNTED,
        *text.busy(report),
    )

    def row(name: str, calls: str, seconds: float, style: str = "") -> None:
        cells = name, calls, text.milliseconds(seconds, 1), text.share(seconds / total)
        shown.add_row(*cells, style=style)

    for group, seconds in report["parts"].items():
        row(group, "", seconds, style="bold")
        for kind, spent in report["kinds"].items():
            listed = spent["seconds"] >= LEAST_SHARE * total and kind != group
            if listed and group_of(kind) == group:
                row(f"  {kind}", str(spent["calls"]), spent["seconds"])
    shown.add_section()
    row("profiled step", "", total)
    return [shown]
