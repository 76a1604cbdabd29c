"""What a training step on several processes exchanges: recorded, not derived."""

from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from rich.table import Table

from bench.common import text
from bench.common.task import Task
from bench.scale.ranks import Alone
from bench.scale.recorder import PURPOSES, Recording

# One patch in each of two processes: the numbers do not depend on how many.
NETWORKS = {
    "Spiral-Net": Task(batch=2),
    "Spiral-Net, width 1/4": Task(batch=2, width=1 / 4),
    "U-Net": Task(batch=2, network="unet"),
    "HED": Task(batch=2, network="hed"),
}


@dataclass(frozen=True)
class Counts:
    """Gathers and gradients of a step of a network."""

    parameters: int
    recording: Recording

    def as_dict(self) -> dict[str, Any]:
        gathers = self.recording.gathers()
        return {
            "parameters": self.parameters,
            "gathers": {
                purpose: {"number": number, "bytes_of_each_process": size}
                for purpose, (number, size) in gathers.items()
            },
            "bucket_bytes": self.recording.buckets,
        }


def count(task: Task) -> Counts:
    """Record a step of one of two processes, after one that allocates buffers."""
    with closing(Alone(task, others=1)) as worker:
        worker.step()
        return Counts(worker.facts["parameters"], recorded(worker))


def recorded(worker: Alone) -> Recording:
    """The events of a step of a worker that plays several."""
    found = worker.ask(what="events")
    return Recording.from_dict({name: found[name] for name in ("events", "seconds")})


def measure(width: float) -> dict[str, Any]:
    """The counts of all networks; ``width`` scales each."""
    return {
        "networks": {
            name: count(replace(task, width=width * task.width)).as_dict()
            for name, task in NETWORKS.items()
        }
    }


def tables(found: dict[str, Any]) -> list[Table]:
    """The counts for a person to read."""
    shown = text.table(
        "What a step exchanges",
        ["network"],
        ["forward", "backward", "other", "kB", "MB", "buckets"],
        "Gathers of batch norm forward and backward, others, and kB that each process sends in all "
        "of them; MB of gradients in float32, which are added up in buckets.",
    )
    for name, counts in found["networks"].items():
        numbers = {purpose: 0 for purpose in PURPOSES.values()}
        size = 0
        for purpose, gathers in counts["gathers"].items():
            numbers[purpose] = gathers["number"]
            size += gathers["bytes_of_each_process"]
        forward, backward, *others = numbers.values()
        buckets = counts["bucket_bytes"]
        shown.add_row(
            name,
            *map(str, (forward, backward, sum(others))),
            f"{size / 1e3:.0f}",
            f"{sum(buckets) / 1e6:.1f}",
            str(len(buckets)),
        )
    return [shown]
