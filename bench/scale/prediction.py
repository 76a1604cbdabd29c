"""Time per step and efficiency of up to 1,024 processes on other networks: tables and a plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.common import text
from bench.common.plot import save
from bench.scale.local import MEASURED, link, workload
from bench.scale.model import Line, Workload, predict
from bench.scale.networks import CORES, GPUS, LINKS, Cluster, of_gpus, of_processors
from bench.scale.recorder import Recording

BATCH = 32  # patches, of Section 4.2: of each process (weak scaling), or of all (strong scaling)
MOST = 1024
RANKS = tuple(2**k for k in range(MOST.bit_length()))
UNEVEN = tuple(sorted({*RANKS, *range(1, 2 * BATCH + 1)}))  # numbers that do not divide the batch
SHOWN = (1, 2, 8, 32, 128, 1024)
# A step of the full Spiral-Net in TF32 on an H100, 45 ms for 32 patches, is an estimate, from
# instructions and bytes counted in the compiled kernels; 2 of them are launches and the optimiser.
GPU = Line(0.002, 0.043 / BATCH)


def workloads(found: Mapping[str, Any]) -> dict[str, tuple[Workload, list[Cluster]]]:
    """What is predicted, and on which clusters."""
    inside = link(found, 2)
    result = {
        f"{network}, a core each": (workload(found, network), of_processors(inside))
        for network in MEASURED
    }
    full: Recording = result[f"{MEASURED[0]}, a core each"][0].recording
    result[f"{MEASURED[0]}, a GPU each (estimate)"] = (Workload(full, GPU, GPU), of_gpus())
    return result


def measure(found: Mapping[str, Any]) -> dict[str, Any]:
    """Predicted steps by workload, scaling, cluster and number of processes."""
    return {
        "batch": BATCH,
        "cores_of_a_machine": CORES,
        "gpus_of_a_machine": GPUS,
        "links": [vars(known) for known in LINKS],
        "workloads": {
            name: {
                "weak": {c.name: _series(work, c, RANKS, BATCH, 0) for c in clusters},
                "strong": {c.name: _series(work, c, UNEVEN, 0, BATCH) for c in clusters},
            }
            for name, (work, clusters) in workloads(found).items()
        },
    }


def _series(
    work: Workload, cluster: Cluster, ranks: Sequence[int], each: int, all_: int
) -> dict[str, Any]:
    """Steps of ``each`` patches in each process, or of ``all_`` in all of them together."""
    alone = work.alone(each or all_)
    rows: dict[str, Any] = {}
    for r in ranks:
        step = predict(work, cluster, r, each * r or all_)
        stopping = predict(work, cluster, r, each * r or all_, overlap=False)
        ideal = alone if each else alone / r
        rows[str(r)] = {
            **step.as_dict(),
            "efficiency": ideal / step.seconds,
            "seconds_without_overlap": stopping.seconds,
            "efficiency_without_overlap": ideal / stopping.seconds,
        }
    return rows


def tables(found: Mapping[str, Any]) -> list[Table]:
    """Efficiency and what limits it, for a person to read."""
    titles = {
        "weak": f"weak scaling, {found['batch']} patches each",
        "strong": f"strong scaling, {found['batch']} patches in all",
    }
    result = []
    for name, scalings in found["workloads"].items():
        for scaling, clusters in scalings.items():
            shown = text.table(
                f"PREDICTED: {name}, {titles[scaling]}",
                [],
                ["processes", *clusters],
                "Seconds of a step, efficiency, and what costs most of the rest.",
            )
            for ranks in SHOWN:
                rows = [series[str(ranks)] for series in clusters.values()]
                shown.add_row(str(ranks), *(_cell(row, ranks) for row in rows))
            result.append(shown)
    return result


def _cell(row: Mapping[str, Any], ranks: int) -> str:
    limit = f"\n{row['limit']}" if ranks > 1 else ""
    return f"{row['seconds']:.3g} s, {row['efficiency']:.0%}{limit}"


COLOURS = ("#D55E00", "#0072B2", "#009E73")  # of the clusters, from the slowest network


def save_plot(found: Mapping[str, Any], picture: Path) -> bool:
    """Efficiency by number of processes; False, with nothing drawn, without matplotlib."""

    def draw(figure: Any) -> None:
        names = list(found["workloads"])
        grid = figure.subplots(2, len(names), sharex="row", sharey="row")
        for column, name in enumerate(names):
            for row, scaling in enumerate(("weak", "strong")):
                _draw(grid[row][column], found["workloads"][name][scaling], scaling)
            grid[0][column].set_title(name.replace(", ", ",\n", 1), fontsize=10)
            grid[1][column].set_xlabel("processes")
        grid[0][0].set_ylabel(f"efficiency, {found['batch']} patches each")
        grid[1][0].set_ylabel(f"times as fast, {found['batch']} patches in all")
        figure.legend(*grid[1][0].get_legend_handles_labels(), loc="outside lower center", ncols=5)

    return save(picture, (12, 8), draw, layout="constrained")


def _draw(axes: Any, clusters: Mapping[str, Any], scaling: str) -> None:
    axes.set_xscale("log", base=2)
    for colour, (name, series) in zip(COLOURS, clusters.items(), strict=True):
        ranks = [int(r) for r in series]
        for key, style in (("efficiency", "-"), ("efficiency_without_overlap", "--")):
            share = [row[key] for row in series.values()]
            y = share if scaling == "weak" else [r * e for r, e in zip(ranks, share, strict=True)]
            label = name if style == "-" else None
            axes.plot(ranks, y, style, color=colour, label=label, linewidth=1.4)
    if scaling == "weak":
        axes.set_ylim(0, 1.05)
    else:
        axes.plot([], [], "--", color="grey", label="where sums stop backward", linewidth=1.4)
        axes.plot(ranks, ranks, ":", color="grey", label="at best", linewidth=1)
        axes.set_yscale("log", base=2)
        axes.set_ylim(1 / 4, 2 * BATCH)
        ticks = [2**k for k in range(-2, 7)]
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([2**k for k in range(0, 11, 2)], [str(2**k) for k in range(0, 11, 2)])
    axes.grid(alpha=0.3)
