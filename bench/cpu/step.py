"""Where the time of a training step goes."""

import time
from statistics import median, median_low
from typing import Any

from rich.table import Table

from bench.cpu.race import OURS, REST, entrants, open_workers, warm_up
from bench.common.task import Task
from bench.common.text import busy, milliseconds, share
from bench.common.machine import sgemm_gflops
from minispiral.cli.tables import LEAST_SHARE
from minispiral.profiling import REST as REST_OF_STEP

COUNTED = (
    "GFLOP counts two per multiply-add of the convolutions: 3 x forward, less the input gradient "
    "of the first layer. Batch norm, ReLU, loss and Adam are done but not counted."
)
GROUPS = ("convolution", "batch norm", "loss", "optimiser")  # by how their kinds begin


def measure(task: Task, repeats: int) -> dict[str, Any]:
    """Steps with and without a profile in turn, and the parts of the profiled one in the middle.

    The parts are those of a single step, so they add up to it.
    """
    plain, profiles, peak = [], [], 0.0
    with open_workers(entrants(task, [])) as workers:
        worker = workers[OURS]
        warm_up(workers)
        for _ in range(repeats):
            plain.append(worker.step())
            profiles.append(worker.ask("profile")["profile"])
            time.sleep(REST)
            peak = max(peak, sgemm_gflops())
        facts, peak_mib = worker.facts, worker.peak_mib
    middle = median_low(profile["seconds"] for profile in profiles)
    profile = next(profile for profile in profiles if profile["seconds"] == middle)
    seconds = median(plain)
    groups = grouped(profile["kinds"])
    convolution = groups["convolution"]
    return {
        **vars(task),
        **facts,
        "sgemm_gflops": peak,
        "seconds": seconds,
        "fastest_seconds": min(plain),
        "slowest_seconds": max(plain),
        "gflops": facts["gflop"] / seconds,
        "share_of_sgemm": facts["gflop"] / seconds / peak,
        "share_of_sgemm_in_convolutions": facts["gflop"] / convolution / peak,
        "peak_mib": peak_mib,
        "profiled_seconds": middle,
        "parts": groups,
        "kinds": profile["kinds"],
        "layers": profile["layers"],
    }


def grouped(kinds: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Seconds by part of the step; what begins like none of the groups is everything else."""
    seconds = dict.fromkeys((*GROUPS, REST_OF_STEP), 0.0)
    for kind, spent in kinds.items():
        group = next((group for group in GROUPS if kind.startswith(group)), REST_OF_STEP)
        seconds[group] += spent["seconds"]
    return seconds


def tables(report: dict[str, Any]) -> list[Table]:
    """The report for a person to read."""
    total = report["profiled_seconds"]
    shown = Table(
        title=(
            f"Training step of Spiral-Net, width {report['width']:g}, {report['batch']} x "
            f"{report['side']} x {report['side']} pixels, float32"
        ),
        caption="\n".join(
            [
                f"Unprofiled: {report['seconds']:.3f} s ({report['fastest_seconds']:.2f} to "
                f"{report['slowest_seconds']:.2f}), {report['gflops']:.0f} GFLOP/s, "
                f"{share(report['share_of_sgemm'])} of the sgemm peak of "
                f"{report['sgemm_gflops']:.0f} GFLOP/s; "
                f"the convolutions alone {share(report['share_of_sgemm_in_convolutions'])}.",
                f"Memory at its peak: {report['peak_mib']:.0f} MiB; threads: {report['threads']}.",
                COUNTED,
                *busy(report),
            ]
        ),
        caption_justify="left",
    )
    shown.add_column("part")
    for column in ("calls", "ms", "share"):
        shown.add_column(column, justify="right")
    for group, seconds in report["parts"].items():
        shown.add_row(
            f"[bold]{group}", "", f"[bold]{milliseconds(seconds, 1)}", share(seconds / total)
        )
        for kind, spent in report["kinds"].items():
            inside = group if group in GROUPS else None
            begins = next((group for group in GROUPS if kind.startswith(group)), None)
            seen = spent["seconds"] >= LEAST_SHARE * total and kind != group
            if seen and begins == inside:
                shown.add_row(
                    f"  {kind}",
                    str(spent["calls"]),
                    milliseconds(spent["seconds"], 1),
                    share(spent["seconds"] / total),
                )
    shown.add_section()
    shown.add_row("profiled step", "", milliseconds(total, 1), share(1.0))
    return [shown]
