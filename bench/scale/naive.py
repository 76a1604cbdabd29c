"""How far the average of each process's own gradient is from the gradient of the whole batch.

Frameworks train on several processes by averaging gradients. Each process then normalises by the
moments of its own patches, and Eq. 11 takes F1 over its own pixels: another method. Here that
gradient is compared with the one of a single process.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from bench.common import text
from minispiral import networks
from minispiral.data.synth import Sample, make_sample
from minispiral.distributed import World
from minispiral.distributed.sharing import sharing
from minispiral.kernels.layout import scale_pixels
from minispiral.losses import LOSSES
from minispiral.networks import Network
from minispiral.tensor import Tensor

Array = NDArray[Any]
Patches = tuple[Array, Array]  # pixels in [-1, 1] and masks

CASES = ((2, 8), (4, 2), (4, 4), (4, 8), (8, 2), (8, 4))  # processes, patches of each
PHOTOS, PHOTO_SIDE = 8, 512  # that the patches are cut from
OURS = "as minispiral shares it"
NAIVE = "averaged gradients"
SYNCHRONISED = "averaged, batch norm over all"
WAYS = (OURS, NAIVE, SYNCHRONISED)


@dataclass(frozen=True)
class Plan:
    """Seeds, the side of the patches, depth of the last module and width of the Spiral-Net."""

    seeds: int = 5
    side: int = 127
    depths: int = 5
    width: float = 1 / 4

    def network(self, seed: int) -> Network:
        rng = np.random.default_rng(seed)
        modules = range(1, self.depths + 1)
        network = networks.build("spiral", depths=modules, width=self.width, rng=rng)
        return network.astype(np.float64)


def draw(samples: Sequence[Sample], side: int, count: int, rng: np.random.Generator) -> Patches:
    """Random patches of the photographs, of which at least one shows a crack."""
    while True:
        pixels, masks = [], []
        for _ in range(count):
            sample = samples[int(rng.integers(len(samples)))]
            top, left = rng.integers(PHOTO_SIDE - side + 1, size=2)
            window = slice(top, top + side), slice(left, left + side)
            pixels.append(sample.photo[window])
            masks.append(sample.mask[window][..., None])
        if np.any(masks):
            return scale_pixels(np.stack(pixels), np.dtype(np.float64)), np.stack(masks)


def gradient(
    network: Network,
    patches: Patches,
    parts: Sequence[slice] = (slice(None),),
    shared: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Array:
    """The gradient of Eq. 11, all parameters in one vector.

    Batch norm is over all ``patches``; with several ``parts`` F1 is over each, and the gradient the
    average of theirs.
    """
    pixels, masks = patches
    for parameter in network.parameters():
        parameter.grad = None
    with shared():
        logits = network(Tensor(pixels))
        losses = [LOSSES["pseudo-f1"](logits[part], masks[part]) for part in parts]
        (sum(losses[1:], start=losses[0]) * (1 / len(parts))).backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    return np.concatenate([gradient.reshape(-1) for gradient in gradients])


class Neighbour(World):
    """One of several threads of this process that speak to each other as processes would."""

    def __init__(self, rank: int, meeting: threading.Barrier, table: list[Array]) -> None:
        self.rank, self.size = rank, meeting.parties
        self.meeting, self.table = meeting, table

    def gather(self, values: Array) -> Array:
        self.table[self.rank] = values.copy()
        self.meeting.wait()
        gathered = np.stack(self.table)
        self.meeting.wait()
        return gathered

    def start_sum(self, values: Array) -> Callable[[], None]:
        values[...] = np.add.reduce(self.gather(values), 0)
        return lambda: None


def shared_gradient(build: Callable[[], Network], patches: Patches, processes: int) -> Array:
    """The gradient that minispiral's processes have, each with its part of the patches."""
    meeting = threading.Barrier(processes)
    table: list[Array] = [np.empty(0)] * processes
    pixels, masks = patches

    def work(rank: int) -> Array:
        own = Neighbour(rank, meeting, table)
        part = own.share(len(pixels))
        mine = slice(part.start, part.stop)
        try:
            return gradient(build(), (pixels[mine], masks[mine]), shared=sharing(own, len(pixels)))
        except BaseException:
            meeting.abort()
            raise

    with ThreadPoolExecutor(processes) as threads:
        return next(iter(threads.map(work, range(processes))))


def compare(plan: Plan, processes: int, each: int, seed: int) -> dict[str, dict[str, float]]:
    """Each way's difference from the gradient of the whole batch, relative, and the cosine."""
    rng = np.random.default_rng(seed)
    samples = [make_sample(rng, PHOTO_SIDE, PHOTO_SIDE) for _ in range(PHOTOS)]
    pixels, masks = patches = draw(samples, plan.side, processes * each, rng)
    parts = [slice(i, i + each) for i in range(0, len(pixels), each)]
    network = plan.network(seed)
    whole = gradient(network, patches)
    own = [gradient(network, (pixels[part], masks[part])) for part in parts]
    ways = {
        OURS: shared_gradient(lambda: plan.network(seed), patches, processes),
        NAIVE: np.mean(own, 0),
        SYNCHRONISED: gradient(network, patches, parts),
    }
    return {way: difference(found, whole) for way, found in ways.items()}


def difference(found: Array, expected: Array) -> dict[str, float]:
    """``|found - expected| / |expected|`` and the cosine of the angle between them."""
    a, b = found.astype(np.float64), expected.astype(np.float64)
    length = np.linalg.norm(b)
    return {
        "relative": float(np.linalg.norm(a - b) / length),
        "cosine": float(a @ b / (np.linalg.norm(a) * length)),
    }


def measure(plan: Plan, cases: Sequence[tuple[int, int]] = CASES) -> dict[str, Any]:
    """Every case with every seed."""
    rows = []
    for processes, each in cases:
        found = [compare(plan, processes, each, seed) for seed in range(plan.seeds)]
        rows.append(
            {
                "processes": processes,
                "patches_of_each": each,
                **{way: [one[way] for one in found] for way in found[0]},
            }
        )
    return {**vars(plan), "cases": rows}


def tables(found: Mapping[str, Any]) -> list[Table]:
    """Medians and ranges over the seeds, for a person to read."""
    shown = text.table(
        "Gradient of Eq. 11, compared with that of the whole batch in one process",
        ["gradient"],
        ["processes", "patches", "difference", "cosine"],
        "Difference: |found - whole| / |whole|. Patches are those of each process. Medians of "
        f"{found['seeds']} seeds: Spiral-Net 1-{found['depths']}, width {found['width']:g}, as "
        f"initialised, float64, {found['side']} x {found['side']} pixels of synthetic photographs.",
    )
    for row in found["cases"]:
        for way in WAYS:
            relative = [one["relative"] for one in row[way]]
            shown.add_row(
                way,
                str(row["processes"]),
                str(row["patches_of_each"]),
                f"{median(relative):.2g}",
                f"{median(one['cosine'] for one in row[way]):.3f}",
            )
        shown.add_section()
    return [shown]
