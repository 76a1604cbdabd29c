"""``mpiexec -n R python -m tests.distributed.photographs FOLDER``: what R processes make of them.

FOLDER holds a dataset ``data``, one like it with damaged photographs, ``damaged``, one with
another photograph in the place of its last, ``other``, and a ``run``. The first process prints as
JSON what each of them got.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minispiral.data.pairs import find_pairs
from minispiral.data.store import PhotoStore
from minispiral.detection.detect import Detection, detect
from minispiral.detection.evaluate import evaluate
from minispiral.distributed import World, world
from minispiral.errors import UserError


def error_of(work: Callable[[], object]) -> str:
    """What the user is told that went wrong."""
    try:
        work()
    except UserError as error:
        return str(error)
    return "none"


def describe(store: PhotoStore) -> dict[str, Any]:
    """All that a store holds, as JSON values."""
    photos = [(store.photo(i), store.mask(i)) for i in range(len(store))]
    return {
        "pixels": [[array.tobytes().hex() for array in pair] for pair in photos],
        "shapes": [[array.shape for array in pair] for pair in photos],
        "looks": repr(store.looks),
        "problems": repr(store.problems),
        "digests": store.digests,
        "counts": [store.pixels, store.crack_pixels],
    }


def mapped(scratch: Path) -> dict[str, int]:
    """Bytes on disk of the mapped files that lie, or lay, in ``scratch``, by inode."""
    found = {}
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, _, _, _, inode, *path = line.split(maxsplit=5)
        if path and path[0].startswith(f"{scratch}{os.sep}"):
            low, high = (int(end, 16) for end in span.split("-"))
            found[inode] = high - low
    return found


def store_of_all(folder: Path, scratch: Path) -> dict[str, Any]:
    everyone, told = world(), []
    store = PhotoStore(find_pairs(folder), scratch, lambda *done: told.append(done), everyone)
    alone = PhotoStore(find_pairs(folder), tempfile.gettempdir())
    return {
        "as one process": describe(store) == describe(alone),
        "progress": told,
        "files": mapped(scratch) if sys.platform == "linux" else None,
        "names": [path.name for path in scratch.iterdir()],
    }


def stores_of_machines(folder: Path, scratch: Path) -> list[str]:
    """Each process as if on a machine of its own, all but the first without the folder scratch."""
    everyone = world()
    apart = type(everyone)(everyone.communicator)
    apart.machine = World()
    own = scratch if everyone.is_first else scratch / "nowhere"
    same, changed = (find_pairs(folder / name) for name in ("data", "other"))
    second = changed if everyone.rank == 1 else same
    return [
        error_of(lambda: PhotoStore(same, own, world=apart)),
        error_of(lambda: PhotoStore(second, own, world=apart)),
    ]


def turns(count: int) -> tuple[str, int, list[int]]:
    """Work that fails early on: the error, how often it was begun, and what was told of it."""
    begun: list[int] = []
    told: list[int] = []

    def work(i: int) -> int:
        begun.append(i)
        time.sleep(0.001)
        if i in (40, 41):
            raise UserError(f"{i} fails")
        return i

    error = error_of(lambda: world().collect(count, work, lambda i, result: told.append(i)))
    return error, len(begun), told


def main(folder: Path) -> None:
    everyone = world()
    scratch = folder / f"scratch{everyone.size}"
    everyone.from_first(scratch.mkdir)
    run, data, damaged = (folder / name for name in ("run", "data", "damaged"))
    results: dict[str, Any] = {"store": store_of_all(data, scratch)}
    progress: list[tuple[float, int]] = []
    warnings: list[str] = []
    reports: list[Detection] = []
    scores = evaluate(run, data, progress=lambda *done: progress.append(done), warn=warnings.append)
    lines = evaluate(run, data, tolerance=2, thin=True)
    out = folder / f"found{everyone.size}"
    found = detect(run, [str(damaged / "images")], out, report=reports.append)
    two = [str(data / "images" / name) for name in ("a.png", "d.png")]
    detect(run, two, folder / f"two{everyone.size}")
    results |= {
        "scores": scores.as_dict(),
        "lines": lines.as_dict(),
        "curve": [scores.counts.detected.tolist(), scores.counts.correct.tolist()],
        "progress": progress,
        "warnings": warnings,
        "found": [result.as_dict() for result in found],
        "reports": [result.as_dict() for result in reports],
        "errors": [
            error_of(lambda: PhotoStore(find_pairs(damaged), scratch, world=everyone)),
            error_of(lambda: evaluate(run, damaged)),
            error_of(lambda: evaluate(folder / "nowhere", data)),
            error_of(lambda: evaluate(run, data, threshold="best")),
            error_of(lambda: detect(run, [str(folder / "nothing")], out)),
        ],
        "machines": stores_of_machines(folder, scratch),
        "turns": turns(20_000),
        "left": len(list(scratch.iterdir())),
    }
    of_all = everyone.exchange(results)
    if everyone.is_first:
        print(json.dumps(of_all))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
