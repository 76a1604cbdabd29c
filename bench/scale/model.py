"""Seconds of a training step on R processes: a recorded step, replayed on another machine.

What a process computes takes ``start + slope * n`` for n patches. It stops at each gather, for
``hop * log2 R`` and for the bytes of R processes. Each bucket of gradients starts on its way when
backward has filled it and the bucket before it has gone; the step waits for the last one before the
optimiser. This is the model of Hockney (1994), of a latency and a bandwidth, in the order of events
of a real step.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.common.worker import WorkerError
from bench.scale.networks import Cluster
from bench.scale.recorder import GATHER, SUM, Recording


@dataclass(frozen=True)
class Line:
    """Seconds of computing: ``start + slope * patches``."""

    start: float
    slope: float

    def __call__(self, patches: float) -> float:
        return self.start + self.slope * patches

    @classmethod
    def through(cls, seconds: Mapping[int, float]) -> "Line":
        """The line nearest to seconds by number of patches, of which none take none.

        Raises `WorkerError` where more patches took less time.
        """
        patches = np.array(list(seconds))
        times = np.array(list(seconds.values()))
        slope, start = np.polyfit(patches, times, 1)
        if slope <= 0:
            raise WorkerError(
                f"more patches took less time ({dict(seconds)}): the machine is too busy, measure "
                "again when it is not"
            )
        if start < 0:
            start, slope = 0.0, float(times @ patches / (patches @ patches))
        return cls(float(start), float(slope))


@dataclass(frozen=True)
class Workload:
    """What a network's step computes and exchanges; ``merging`` is seconds per gathered byte.

    ``alone`` is a step of one process, ``shared`` what each of several computes.
    """

    recording: Recording
    alone: Line
    shared: Line
    merging: float = 0.0


LIMITS = ("crowding", "imbalance", "fixed", "latency", "volume", "gradients")


@dataclass
class Step:
    """A predicted step: what its time is spent on.

    ``useful`` is a process's share of the patches as fast as it is alone, ``crowding`` what other
    processes at the same memory cost, ``imbalance`` waiting for a process with one patch more,
    ``fixed`` what every process does whatever it has (the optimiser, reading the weights),
    ``latency`` and ``volume`` the gathers, and ``gradients`` waiting for sums of gradients.
    """

    useful: float
    crowding: float
    imbalance: float
    fixed: float
    latency: float = 0.0
    volume: float = 0.0
    gradients: float = 0.0
    seconds: float = field(init=False, default=0.0)

    def limit(self, fixed: float = 0.0) -> str:
        """What costs most beside the useful work and so many seconds that are fixed anyhow."""
        parts = {**vars(self), "fixed": self.fixed - fixed}
        return max(LIMITS, key=lambda part: float(parts[part]))

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self)}


def predict(
    workload: Workload, cluster: Cluster, ranks: int, batch: int, overlap: bool = True
) -> Step:
    """A step on a batch that ``ranks`` processes share as evenly as they can.

    With ``overlap`` sums of gradients go on while backward does, as where the network card or a
    thread moves them; without, backward stops for each.
    """
    line = workload.alone if ranks == 1 else workload.shared
    share, most = batch / ranks, math.ceil(batch / ranks)
    useful, crowded = workload.alone.slope * share, line.slope * share
    step = Step(useful, crowded - useful, line.slope * (most - share), line.start)
    if ranks > 1:
        _exchange(step, workload, cluster, ranks, line(most), overlap)
    step.seconds = line(most) + step.latency + step.volume + step.gradients
    return step


def _exchange(
    step: Step, workload: Workload, cluster: Cluster, ranks: int, computing: float, overlap: bool
) -> None:
    """Add what a step of so many seconds of computing waits for others."""
    latency = cluster.gather_latency(ranks)
    sent = 0.0  # when the gradients that are on their way will have arrived
    for event in workload.recording.events:
        waited = step.latency + step.volume + step.gradients
        now = computing * event.at / workload.recording.seconds + waited
        if event.kind == GATHER:
            step.latency += latency
            step.volume += cluster.gather_volume(ranks, event.bytes)
            step.volume += workload.merging * ranks * event.bytes
        elif event.kind == SUM and overlap:
            sent = max(sent, now) + cluster.sum_seconds(ranks, event.bytes)
        elif event.kind == SUM:
            step.gradients += cluster.sum_seconds(ranks, event.bytes)
        else:
            step.gradients += max(0.0, sent - now)
