"""Time per step and efficiency of up to 1,024 processes on other networks: tables and a plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.common import text
from bench.common.plot import save
from bench.scale.local import MEASURED, PROCESSES, link, workload
from bench.scale.model import Line, Workload, predict
from bench.scale.networks import CORES, GPUS, LINKS, Cluster, of_gpus, of_processors

BATCH = 32  # patches, of Section 4.2: of each process (weak scaling), or of all (strong scaling)
MOST = 1024
RANKS = tuple(2**k for k in range(MOST.bit_length()))
UNEVEN = tuple(sorted({*RANKS, *range(1, BATCH)}))  # numbers that do not divide the batch
SHOWN = (1, 2, 8, 32, 128, 1024)
# Seconds of a step of the full Spiral-Net in TF32 on an H100, by patches: what
# `python -m bench gpu model --batch N` counts in the compiled kernels. Nobody has timed one yet.
GPU = Line.through({2: 0.0065, 8: 0.0143, 32: 0.0445})
HOWS = {"overlapping": True, "stopping": False}  # sums of gradients: do they let backward go on?


def workloads(found: Mapping[str, Any]) -> dict[str, tuple[Workload, list[Cluster], str]]:
    """What is predicted, on which clusters, and how sums of gradients are made there.

    MPI goes on while backward does, if the network lets it; NCCL works on the stream of the step.
    """
    inside = link(found, min(PROCESSES))
    result = {
        f"{network}, a core each": (workload(found, network), of_processors(inside), "overlapping")
        for network in MEASURED
    }
    full = workload(found, MEASURED[0]).recording
    gpu = Workload(full, GPU, GPU), of_gpus(), "stopping"
    return {**result, f"{MEASURED[0]}, a GPU each (estimate)": gpu}


def measure(found: Mapping[str, Any]) -> dict[str, Any]:
    """Predicted steps by workload, scaling, cluster and number of processes."""
    return {
        "batch": BATCH,
        "cores_of_a_machine": CORES,
        "gpus_of_a_machine": GPUS,
        "links": [vars(known) for known in LINKS],
        "workloads": {
            name: {
                "as_it_is": how,
                "weak": {c.name: _series(work, c, RANKS, BATCH, 0) for c in clusters},
                "strong": {c.name: _series(work, c, UNEVEN, 0, BATCH) for c in clusters},
            }
            for name, (work, clusters, how) in workloads(found).items()
        },
    }


def _series(
    work: Workload, cluster: Cluster, ranks: Sequence[int], each: int, all_: int
) -> dict[str, Any]:
    """Steps of ``each`` patches in each process, or of ``all_`` in all of them together.

    Efficiency is relative to a single process: at best, ``r`` of them take its time for ``each``,
    or an r-th of it for ``all_``.
    """
    alone = work.alone(each or all_)
    rows: dict[str, Any] = {}
    for r in ranks:
        share = 1 if each else 1 / r
        rows[str(r)] = {}
        for how, overlap in HOWS.items():
            step = predict(work, cluster, r, each * r or all_, overlap)
            numbers = {**step.as_dict(), "efficiency": share * alone / step.seconds}
            rows[str(r)][how] = {
                **{name: float(f"{number:.5g}") for name, number in numbers.items()},
                "limit": step.limit(share * work.alone.start),
            }
    return rows


def tables(found: Mapping[str, Any]) -> list[Table]:
    """Efficiency and what limits it, for a person to read."""
    titles = {
        "weak": f"weak scaling, {found['batch']} patches each",
        "strong": f"strong scaling, {found['batch']} patches in all",
    }
    result = []
    for name, work in found["workloads"].items():
        for scaling, title in titles.items():
            clusters = work[scaling]
            shown = text.table(
                f"PREDICTED: {name}, {title}",
                [],
                ["processes", *clusters],
                "Seconds of a step, efficiency, and what takes most of what is missing to 100 %.",
            )
            for ranks in SHOWN:
                rows = [series[str(ranks)][work["as_it_is"]] for series in clusters.values()]
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
        figure.legend(*grid[1][0].get_legend_handles_labels(), loc="outside lower center", ncols=3)

    return save(picture, (9, 6.6), draw, layout="constrained")


def _draw(axes: Any, clusters: Mapping[str, Any], scaling: str) -> None:
    axes.set_xscale("log", base=2)
    for colour, (name, series) in zip(COLOURS, clusters.items(), strict=True):
        ranks = [int(r) for r in series]
        for how, style in zip(HOWS, ("-", "--"), strict=True):
            share = [row[how]["efficiency"] for row in series.values()]
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
