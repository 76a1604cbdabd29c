"""What computing and exchanging cost on this machine, and steps of several processes on it."""

import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from rich.table import Table

from bench.common import text
from bench.common.task import SIDE, Task
from bench.common.worker import Worker
from bench.scale.counts import NETWORKS, recorded
from bench.scale.model import Line, Workload, predict
from bench.scale.networks import Cluster, Link
from bench.scale.ranks import Alone, Job
from bench.scale.recorder import Recording
from minispiral.distributed.sharing import BUCKET
from minispiral.kernels import batchnorm, collective

MEASURED = tuple(NETWORKS)[:2]  # Spiral-Net at full width and a quarter of it
PROCESSES = (2, 4)  # of the MPI jobs
GATHERED = (
    3,
    129,
    513,
    1025,
)  # float64 from each process: a loss, and moments of up to 512 channels
CALLS = 200  # of a gather, timed at once
CHANNELS, MANY = 512, 512  # of moments that are merged, and of processes they come from
CROWDED = "Processes that share a core with others are late, and all wait for the last"


@dataclass(frozen=True)
class Plan:
    """How to measure: repeats, patches of a process, their side, and a factor for all widths."""

    repeats: int = 5
    patches: tuple[int, int] = (2, 6)
    side: int = SIDE
    width: float = 1.0

    def task(self, network: str, batch: int) -> Task:
        task = NETWORKS[network]
        return replace(task, batch=batch, side=self.side, width=self.width * task.width)


def cores() -> int:
    return os.cpu_count() or 1


def at_once() -> int:
    """Processes that compute at once where the machine is to be busy."""
    return min(cores(), max(PROCESSES))


def measure(plan: Plan) -> dict[str, Any]:
    """Computing and recorded steps by network, MPI by number of processes, and merging."""
    return {
        **asdict(plan),
        "processes_at_once": at_once(),
        "computing": {name: computing(plan, name) for name in MEASURED},
        "mpi": {str(ranks): exchanging(ranks, plan.repeats) for ranks in PROCESSES},
        "merging_seconds_per_byte": merging(),
    }


def computing(plan: Plan, network: str) -> dict[str, Any]:
    """Seconds of a step with one thread by number of patches, and the events of a large one.

    ``alone`` is a process that has the machine for itself; ``shared`` one of as many as there are
    cores, all at work, each as one of two processes that share a batch, with nothing to wait for.
    """
    with ExitStack() as stack:

        def opened(batch: int, **options: Any) -> Alone:
            return stack.enter_context(closing(Alone(plan.task(network, batch), **options)))

        alone = {n: opened(n) for n in plan.patches}
        shared = {n: [opened(2 * n, others=1) for _ in range(at_once())] for n in plan.patches}
        times: dict[str, dict[int, list[float]]]
        times = {how: {n: [] for n in plan.patches} for how in ("alone", "shared")}
        for _ in range(plan.repeats + 1):
            for n in plan.patches:
                times["alone"][n].append(alone[n].step())
                times["shared"][n].append(together(shared[n]))
        recording = recorded(shared[plan.patches[-1]][0])
    seconds = {
        how: {n: median(found[1:]) for n, found in by_patches.items()}
        for how, by_patches in times.items()
    }
    return {"seconds": seconds, "recording": recording.as_dict()}


def together(workers: Sequence[Worker]) -> float:
    """Seconds until the last of several workers, which begin at once, has taken a step."""
    for worker in workers:
        worker.send(what="step")
    return max(float(worker.receive()["seconds"]) for worker in workers)


def exchanging(ranks: int, repeats: int) -> dict[str, Any]:
    """Seconds of gathers, by bytes of each process, and of a sum of a full bucket."""
    found: dict[str, list[float]] = {}
    with closing(Job(ranks, Task(batch=ranks, side=31, width=0.01, depths=1))) as job:
        for _ in range(repeats):
            for values in GATHERED:
                seconds = job.ask(what="gather", values=values, calls=CALLS)["seconds"]
                found.setdefault(str(8 * values), []).append(seconds)
            seconds = job.ask(what="sum", values=BUCKET // 4, calls=10)["seconds"]
            found.setdefault("sum", []).append(seconds)
    total = median(found.pop("sum"))
    return {
        "gather_seconds": {size: median(times) for size, times in found.items()},
        "sum_bytes": BUCKET,
        "sum_seconds": total,
    }


class _Prepared:
    """A group whose processes have all sent zeros already."""

    recordable = False

    def __init__(self, size: int) -> None:
        self.arrays = np.zeros((size, 1 + 2 * CHANNELS))
        self.arrays[:, 0] = 1

    def gather(self, values: Any) -> Any:
        return self.arrays


def merging() -> float:
    """Seconds per byte in which the moments of many processes become those of the batch."""
    x = np.zeros((1, 1, 1, CHANNELS), np.float32)
    seconds = []
    for size in (2, MANY):
        with collective.shared(_Prepared(size), size):
            times = []
            for _ in range(20):
                start = time.perf_counter()
                batchnorm.moments(x)
                times.append(time.perf_counter() - start)
        seconds.append(median(times))
    return max(0.0, seconds[1] - seconds[0]) / ((MANY - 2) * 8 * (1 + 2 * CHANNELS))


def workload(found: Mapping[str, Any], network: str) -> Workload:
    """What was measured of a network, as the model takes it."""
    measured = found["computing"][network]
    lines = {
        how: Line.through({int(n): seconds for n, seconds in by_patches.items()})
        for how, by_patches in measured["seconds"].items()
    }
    recording = Recording.from_dict(measured["recording"])
    return Workload(recording, **lines, merging=found["merging_seconds_per_byte"])


def link(found: Mapping[str, Any], ranks: int) -> Link:
    """The link between processes of this machine, from what was measured among ``ranks``."""
    mpi = found["mpi"][str(ranks)]
    hop = next(iter(mpi["gather_seconds"].values())) / math.log2(ranks)
    moving = max(mpi["sum_seconds"] - 2 * hop * math.log2(ranks), mpi["sum_seconds"] / 10)
    bandwidth = 2 * (ranks - 1) / ranks * mpi["sum_bytes"] / moving
    return Link("this machine", hop, bandwidth, f"measured among {ranks} processes")


def check(plan: Plan, found: Mapping[str, Any]) -> dict[str, Any]:
    """Steps of 1, 2 and 4 processes beside what the model says of them, by network.

    What a process computes is measured in turns with them. Where there are more processes than
    cores each gets its share of one. Nothing overlaps: here it is the cores that move gradients.
    """
    n = plan.patches[0]
    result: dict[str, Any] = {}
    for network in MEASURED:
        steps, alone, shared = _steps(plan, network, n)
        recording = Recording.from_dict(found["computing"][network]["recording"])
        result[network] = {}
        for ranks, measured in steps.items():
            crowded = Line(0.0, shared / n * max(1.0, ranks / cores()))
            work = Workload(
                recording, Line(0.0, alone / n), crowded, found["merging_seconds_per_byte"]
            )
            here = link(found, max(ranks, min(PROCESSES)))
            cluster = Cluster(here.name, here, ranks, here)
            step = predict(work, cluster, ranks, ranks * n, overlap=False)
            result[network][str(ranks)] = {
                "measured": measured,
                "predicted": step.seconds,
                "ratio": measured / step.seconds,
                "parts": step.as_dict(),
            }
    return {"patches": n, "networks": result}


def _steps(plan: Plan, network: str, n: int) -> tuple[dict[int, float], float, float]:
    """Median seconds of a step of ``n`` patches in each process; all take turns.

    By number of processes; of one process alone, which is that of one process; and of as many as
    there are cores at once, with nothing to wait for.
    """
    with ExitStack() as stack:
        jobs = {
            ranks: stack.enter_context(closing(Job(ranks, plan.task(network, ranks * n))))
            for ranks in PROCESSES
        }
        alone = stack.enter_context(closing(Alone(plan.task(network, n))))
        others = [
            stack.enter_context(closing(Alone(plan.task(network, 2 * n), others=1)))
            for _ in range(at_once())
        ]
        times: dict[int, list[float]] = {ranks: [] for ranks in (0, 1, *jobs)}
        for _ in range(plan.repeats + 1):
            times[1].append(alone.step())
            times[0].append(together(others))
            for ranks, job in jobs.items():
                times[ranks].append(job.step())
    medians = {ranks: median(found[1:]) for ranks, found in times.items()}
    shared = medians.pop(0)
    return medians, medians[1], shared


def tables(found: Mapping[str, Any]) -> list[Table]:
    """What was measured, for a person to read."""
    computing = text.table(
        f"Seconds of a training step with one thread, patches of {found['side']} x {found['side']}",
        ["network"],
        ["patches", "alone", f"{found['processes_at_once']} at once", "line"],
        "At once: each as one of two processes that share a batch, with nothing to wait for; the "
        "line is through these, for any number n of patches.",
        *text.busy(found, effect=CROWDED),
    )
    for network, measured in found["computing"].items():
        line, seconds = workload(found, network).shared, measured["seconds"]
        for n, alone in seconds["alone"].items():
            formula = f"{line.start:.2f} + {line.slope:.3f} n"
            row = network, n, f"{alone:.3f}", f"{seconds['shared'][n]:.3f}", formula
            computing.add_row(*row)
    first = next(iter(found["mpi"].values()))
    exchanging = text.table(
        "MPI on this machine: microseconds of a gather, GB/s of a sum",
        [],
        ["processes", *(f"{size} B" for size in first["gather_seconds"]), "sum"],
        f"Bytes of each process; the sum is of {first['sum_bytes'] / 1e6:.1f} MB. More processes "
        f"than the {cores()} cores wait for a turn on one.",
        f"Merging what was gathered takes {found['merging_seconds_per_byte'] * 1e9:.2f} ns a byte.",
    )
    for ranks, mpi in found["mpi"].items():
        exchanging.add_row(
            ranks,
            *(f"{1e6 * seconds:.0f}" for seconds in mpi["gather_seconds"].values()),
            f"{link(found, int(ranks)).bandwidth / 1e9:.2f}",
        )
    return [computing, exchanging]


def check_tables(found: Mapping[str, Any]) -> list[Table]:
    """Measured against predicted, for a person to read."""
    result = []
    for network, by_ranks in found["networks"].items():
        shown = text.table(
            f"Steps of {network} on this machine, {found['patches']} patches for each process",
            [],
            ["processes", "measured, s", "predicted, s", "ratio", "gathers, s", "gradients, s"],
            "The last two columns are parts of the prediction.",
            *text.busy(found, effect=CROWDED),
        )
        for ranks, row in by_ranks.items():
            parts = row["parts"]
            shown.add_row(
                ranks,
                f"{row['measured']:.3f}",
                f"{row['predicted']:.3f}",
                f"{row['ratio']:.2f}",
                f"{parts['latency'] + parts['volume']:.4f}",
                f"{parts['gradients']:.4f}",
            )
        result.append(shown)
    return result
