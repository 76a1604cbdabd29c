"""``mpiexec -n R python -m bench decoding``: photographs that the processes of a machine share.

R processes decode a dataset of their own making, in turns: one of them while the others wait, all
of them together, and each for itself.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import click
from rich.console import Console

from bench.common import options, text
from bench.common.machine import conditions
from minispiral.data.pairs import Pair, find_pairs
from minispiral.data.store import PhotoStore
from minispiral.data.synth import write_dataset
from minispiral.distributed import World, world


def measure(photos: int, size: tuple[int, int], rounds: int) -> dict[str, Any]:
    """Seconds of each round and bytes on disk, by way; the first round is not counted."""
    everyone = world()
    with tempfile.TemporaryDirectory() as own:
        folder = Path(everyone.from_first(lambda: own))
        everyone.from_first(lambda: write_dataset(folder / "data", photos, size, 0))
        pairs = find_pairs(folder / "data")
        ways: dict[str, Callable[[], PhotoStore | None]] = {
            "one process": lambda: _decode(pairs, folder, World()) if everyone.is_first else None,
            "together": lambda: _decode(pairs, folder, everyone),
            "each for itself": lambda: _decode(pairs, folder, World()),
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        on_disk = {}
        for _ in range(rounds + 1):
            for way, decode in ways.items():
                everyone.exchange(None)  # all begin at once
                start = time.perf_counter()
                store = decode()
                everyone.exchange(None)
                seconds[way].append(time.perf_counter() - start)
                on_disk[way] = _bytes_on_disk(everyone, folder)
                if store is not None:
                    store.close()
        everyone.exchange(None)  # before the first process removes the dataset
    return {
        "processes": everyone.size,
        "megapixels": photos * size[0] * size[1] / 1e6,
        "seconds": {way: found[1:] for way, found in seconds.items()},
        "megabytes_on_disk": {way: found / 1e6 for way, found in on_disk.items()},
    }


def _decode(pairs: list[Pair], folder: Path, among: World) -> PhotoStore:
    return PhotoStore(pairs, folder, world=among)


def _bytes_on_disk(everyone: World, folder: Path) -> int:
    """What the files in ``folder`` take that any process has open, with or without a name."""
    found = {}
    for link in Path("/proc/self/fd").iterdir():
        try:
            if os.readlink(link).startswith(f"{folder}{os.sep}"):
                file = link.stat()
                found[file.st_ino] = 512 * file.st_blocks
        except FileNotFoundError:  # that of the listing itself
            continue
    of_all = {ino: size for of_one in everyone.exchange(found) for ino, size in of_one.items()}
    return sum(of_all.values())


@click.command()
@click.option("--photos", default=24, show_default=True, type=click.IntRange(1))
@click.option(
    "--size",
    type=(click.IntRange(64), click.IntRange(64)),
    default=(2400, 1700),
    show_default=True,
    metavar="WIDTH HEIGHT",
    help="Pixels of each photograph.",
)
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@options.as_json
def decoding(photos: int, size: tuple[int, int], rounds: int, as_json: bool) -> None:
    """Decode a dataset in one process, in several together, and in each for itself.

    To be started with `mpiexec -n R`, on Linux.
    """
    found = measure(photos, size, rounds)
    if not world().is_first:
        return
    if as_json:
        print(json.dumps({**conditions(), **found}, indent=2))
        return
    title = f"{found['megapixels']:.0f} megapixels, {found['processes']} processes"
    table = text.table(title, ["decoded by"], ["seconds", "of one process", "on disk"])
    alone = found["seconds"]["one process"]
    for way, times in found["seconds"].items():
        ratio = median(t / one for t, one in zip(times, alone, strict=True))
        on_disk = f"{found['megabytes_on_disk'][way]:.0f} MB"
        table.add_row(way, f"{median(times):.2f}", text.ratio(ratio), on_disk)
    Console().print(table)
