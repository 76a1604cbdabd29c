"""How the cost of a training step grows with the batch, the side of the patches and the width."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from bench.common import text
from bench.common.engines import OURS
from bench.common.plot import save
from bench.common.task import Task
from bench.cpu.race import open_workers, ours, result, take_turns, warm_up

BATCHES = (1, 2, 4, 8, 16)
SIDES = (127, 255, 383, 511)
WIDTHS = (1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)
# A seventh halving leaves nothing of 127 pixels, and of 255 a single one, on which no batch of 1
# can be normalised.
DEPTHS = 6

Points = Sequence[dict[str, Any]]


def measure(task: Task, repeats: int) -> dict[str, Any]:
    """Time a step at each point, one after the other, and fit lines to batch and side."""
    series = {
        "batch": [replace(task, batch=batch, depths=DEPTHS) for batch in BATCHES],
        "side": [replace(task, side=side, depths=DEPTHS) for side in SIDES],
        "width": [replace(task, width=task.width * factor) for factor in WIDTHS],
    }
    timed: dict[Task, dict[str, Any]] = {}
    for points in series.values():
        for point in points:
            if point not in timed:
                timed[point] = time_point(point, repeats)
    found = {name: [timed[point] for point in points] for name, points in series.items()}
    return {
        "series": found,
        "fits": {name: fit(found[name]) for name in ("batch", "side")},
    }


def time_point(task: Task, repeats: int) -> dict[str, Any]:
    """The median of a step at one point, and the size of the point."""
    with open_workers(ours(task)) as workers:
        warm_up(workers)
        peak = take_turns(workers, repeats)
    worker = workers[OURS]
    return {
        **vars(task),
        "megapixels": task.batch * task.side**2 / 1e6,
        "gflop": worker.facts["gflop"],
        "sgemm_gflops": peak,
        **result(worker, worker.facts["gflop"], peak),
    }


def fit(points: Points) -> dict[str, float]:
    """The line ``seconds = start + slope * megapixels`` with the least relative deviations.

    Least squares weighted by ``1 / seconds``: the small steps count as much as the large ones.
    ``exponent`` is that of the power law through the points; a line through 0 has 1.
    """
    megapixels = np.array([point["megapixels"] for point in points])
    seconds = np.array([point["seconds"] for point in points])
    columns = np.stack([np.ones_like(megapixels), megapixels], 1)
    start, slope = np.linalg.lstsq(columns / seconds[:, None], np.ones(len(points)), rcond=None)[0]
    deviations = (start + slope * megapixels) / seconds - 1
    exponent = np.polyfit(np.log(megapixels), np.log(seconds), 1)[0]
    return {
        "start_seconds": float(start),
        "seconds_per_megapixel": float(slope),
        "largest_relative_deviation": float(np.abs(deviations).max()),
        "exponent": float(exponent),
    }


def tables(report: dict[str, Any]) -> list[Table]:
    """The report for a person to read."""
    notes = [
        f"{name}: {line['start_seconds']:.3f} s + {line['seconds_per_megapixel']:.2f} s per "
        f"megapixel, off by at most {line['largest_relative_deviation']:.0%}; "
        f"seconds grow as megapixels to the power {line['exponent']:.2f}."
        for name, line in report["fits"].items()
    ]
    shown = text.table(
        "A training step of Spiral-Net by batch, side and width",
        ["by"],
        ["batch", "side", "depths", "width", "megapixels", "seconds", "sgemm", "MiB"],
        *notes,
        *text.busy(report),
    )
    for name, points in report["series"].items():
        for point in points:
            shown.add_row(
                name,
                str(point["batch"]),
                str(point["side"]),
                f"1-{point['depths']}",
                f"{point['width']:g}",
                f"{point['megapixels']:.3f}",
                f"{point['seconds']:.3f}",
                text.share(point["share_of_sgemm"], 0),
                f"{point['peak_mib']:.0f}",
            )
        shown.add_section()
    return [shown]


def save_plot(report: dict[str, Any], picture: Path) -> bool:
    """Seconds by batch, side and width; False, with nothing drawn, without matplotlib."""

    def draw(figure: Any) -> None:
        for axes, name in zip(figure.subplots(1, 3), report["series"], strict=True):
            if name in report["fits"]:
                _draw_line(axes, name, report["series"][name], report["fits"][name])
            else:
                _draw_widths(axes, report["series"][name])
        figure.axes[0].set_ylabel("seconds of a training step")

    return save(picture, (9.5, 3.3), draw, layout="constrained")


def _draw_line(
    axes: Any, name: str, points: Sequence[dict[str, Any]], line: dict[str, float]
) -> None:
    """Seconds against megapixels, with the line that was fitted."""
    megapixels = [point["megapixels"] for point in points]
    axes.plot(megapixels, [point["seconds"] for point in points], "o", color="#0072B2")
    ends = np.array([0, max(megapixels)])
    start, slope = line["start_seconds"], line["seconds_per_megapixel"]
    axes.plot(ends, start + slope * ends, color="#D55E00", zorder=0)
    for point, x in zip(points, megapixels, strict=True):
        at = {"textcoords": "offset points", "xytext": (-6, 6), "ha": "right"}
        axes.annotate(str(point[name]), (x, point["seconds"]), **at)
    axes.set_title(f"by {name}:\n{start:.2f} s + {slope:.2f} s per megapixel", fontsize=10)
    axes.set_xlabel("megapixels of the step")
    axes.margins(0.12)
    axes.set_ylim(bottom=0)


def _draw_widths(axes: Any, points: Points) -> None:
    """Seconds and GFLOP/s against the width."""
    widths = [point["width"] for point in points]
    axes.plot(widths, [point["seconds"] for point in points], "o-", color="#0072B2")
    axes.set_xlabel("width factor (1: 64 to 512 channels)")
    axes.set_title("by width", fontsize=10)
    axes.set_ylim(bottom=0)
    speeds = axes.twinx()
    speeds.plot(widths, [point["gflops"] for point in points], "s--", color="#009E73")
    speeds.set_ylabel("GFLOP/s (dashed)", color="#009E73")
    speeds.set_ylim(bottom=0)
