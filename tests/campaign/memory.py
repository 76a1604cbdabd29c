"""Memory under a stated ceiling for photographs of 20 and 80 megapixels.

The ceiling of a command is `FIXED` bytes, for Python, its libraries and a tiny network, plus so
many bytes per pixel. It is measured as the most resident memory of a process. ``detect`` is also
run under a limit on its address space (``ulimit -v``): once at the ceiling, where it must succeed,
and once with `TOO_LITTLE`, where it must name the photograph.
"""

import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.campaign.commands import Ended, Started
from tests.small import NETWORK, make_trained

FIXED = 400 << 20  # bytes
ADDRESSED = 600 << 20  # bytes that a process reserves beyond those it uses
TOO_LITTLE = 400_000_000  # bytes: a process starts, and cannot take in 20 megapixels
PER_PIXEL = {"detect": 16, "evaluate": 24, "inspect": 26, "train": 32}  # bytes
SIZES = {20: (5472, 3648), 80: (10944, 7296)}  # megapixels: width, height
ONE_THREAD = {"MINISPIRAL_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def run(scale: float, report: Callable[[str], None]) -> dict[str, Any]:
    """Run every command on a large photograph: 20 megapixels, from ``scale`` 0.5 on also 80."""
    failures: list[str] = []
    peaks: dict[str, float] = {}
    cases = 0
    with tempfile.TemporaryDirectory(prefix="minispiral-") as name:
        place = Path(name)
        trained = make_trained(place / "trained")
        for megapixels in SIZES if scale >= 0.5 else (20,):
            data = large_dataset(place / f"data {megapixels}", *SIZES[megapixels])
            for command, words in commands(trained / "run", data, place).items():
                ceiling = FIXED + PER_PIXEL[command] * megapixels * 10**6
                ended = Started(*words).wait()
                peaks[f"{command} {megapixels} MP"] = round(ended.peak / 1e6)
                failures += succeeded(ended)
                if ended.peak > ceiling:
                    failures.append(f"{ended.command}: {ended.peak} bytes, more than {ceiling}")
                if command == "detect":
                    failures += limited(words, ceiling + ADDRESSED, True)
                    failures += limited(words, TOO_LITTLE, False)
                    cases += 2
                cases += 1
                report(f"memory: {command}, {megapixels} megapixels: {ended.peak / 1e6:.0f} MB")
    return {"cases": cases, "peaks in MB": peaks, "failures": failures}


def large_dataset(folder: Path, width: int, height: int) -> Path:
    """A dataset of one JPEG photograph with a crack and its mask."""
    rng = np.random.default_rng()
    grain = rng.integers(120, 200, (height // 8, width // 8, 3), dtype=np.uint8)
    mask = np.zeros((height, width), np.uint8)
    mask[height // 2 : height // 2 + 3] = 255
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    photo = np.array(Image.fromarray(grain).resize((width, height)))
    photo[mask > 0] = 40
    Image.fromarray(photo).save(folder / "images" / "wall.jpg", quality=90)
    Image.fromarray(mask).save(folder / "masks" / "wall.png")
    return folder


def commands(run: Path, data: Path, place: Path) -> dict[str, list[object]]:
    """The words of each command."""
    photo, out = data / "images" / "wall.jpg", place / f"{data.name} run"
    training = [*NETWORK, "--patch", 31, "--batch", 4, "--steps", 2]
    return {
        "detect": ["detect", run, photo, "--out", place / "found"],
        "evaluate": ["evaluate", run, data],
        "inspect": ["inspect", run, photo, "--out", place / "maps.png"],
        "train": ["train", data, "--val", data, "--out", out, *training],
    }


def limited(words: list[object], limit: int, enough: bool) -> list[str]:
    """What is wrong when ``words`` are run with an address space of ``limit`` bytes."""
    ended = Started(*words, limits={resource.RLIMIT_AS: limit}, environment=ONE_THREAD).wait()
    if enough:
        return succeeded(ended)
    if ended.fault is not None:
        return [ended.fault]
    if "memory is not enough" not in ended.messages or str(words[2]) not in ended.messages:
        return [f"{ended.command} with {limit} bytes: {ended.messages[-300:]}"]
    return []


def succeeded(ended: Ended) -> list[str]:
    """Nothing, if the command did."""
    return [] if ended.exit_code == 0 else [f"{ended.command}: {ended.messages[-300:]}"]
