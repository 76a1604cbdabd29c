"""``python -m bench gpu host``: what a detection costs the processors beside the GPU."""

import io
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from bench.common import options, text
from bench.common.machine import conditions
from bench.common.task import DEPTHS
from bench.gpu.detection import TILE, write_photo, write_run
from bench.gpu.model.recording import Outline, Recorder
from minispiral.data.photos import read_photo
from minispiral.data.synth import make_sample
from minispiral.detection.detect import Detection, detect
from minispiral.detection.find import find_cracks
from minispiral.detection.grey_png import grey_png
from minispiral.detection.metrics import THRESHOLD
from minispiral.detection.output import ENDINGS, encoders_of
from minispiral.device import Device
from minispiral.files import replacing
from minispiral.kernels.cuda import launch
from minispiral.kernels.cuda.table import Kernel
from minispiral.runs.checkpoint import load_network

T = TypeVar("T")

CHOSEN = "runs alone, no filters"
LEVELS = (1, 2, 3, 4, 5, 6)  # of zlib; 6 is Pillow's default
GRAIN = 0.012  # of the probability in sound concrete: 8 MB in PNG, as of networks trained briefly


class Idle(Recorder):
    """A GPU that is not there: launches do nothing, and every map it is asked for is ``answer``."""

    def __init__(self, answer: NDArray[np.float32]) -> None:
        super().__init__()
        self.answer, self.launched = answer, 0

    def put(self, values: NDArray[Any]) -> Outline:
        values.copy()  # as CuPy copies what lies in ordinary memory
        return super().put(values)

    def get(self, array: Outline) -> NDArray[Any]:
        return self.answer.copy()

    def launch(
        self, kernel: Kernel, grid: tuple[int, ...], block: tuple[int, ...], arguments: list[Any]
    ) -> None:
        self.launched += 1


def answer(height: int, width: int) -> NDArray[np.float32]:
    """A map like those of a trained network: certain on cracks, a little grain elsewhere."""
    rng = np.random.default_rng(0)
    tile = make_sample(np.random.default_rng(0), TILE, TILE).mask
    crack = np.tile(tile, (-(-height // TILE), -(-width // TILE)))[:height, :width]
    grain = GRAIN * np.abs(rng.standard_normal((height, width), np.float32))
    return np.where(crack, 1 - grain, grain)


def stages(run: Path, photo: Path, gpu: Idle, repeats: int) -> dict[str, float]:
    """CPU seconds of each stage, the least of ``repeats``."""
    device = Device("cuda")
    network = load_network(run, device=device)
    found: dict[str, float] = {}

    def timed(name: str, work: Callable[[], T]) -> T:
        for _ in range(repeats):
            start = time.process_time()
            result = work()
            found[name] = min(found.get(name, np.inf), time.process_time() - start)
        return result

    pixels = timed("read", lambda: read_photo(photo))
    gpu.launched = 0
    with device.in_use():
        finding = timed("search", lambda: find_cracks(network, pixels))
    found["launches"] = gpu.launched // repeats
    for kind, encode in encoders_of(pixels, finding).items():
        encoded = timed(f"encode {kind}", encode)
        path = photo.with_name("wall" + ENDINGS[kind])

        def write(path: Path = path, encoded: bytes | memoryview = encoded) -> None:
            with replacing(path) as file:
                file.write(encoded)

        timed(f"write {kind}", write)
    return found


def png(probability: NDArray[np.float32]) -> list[dict[str, Any]]:
    """Seconds and bytes of the two grey pictures: by Pillow at each level, and as they are now."""

    def pillow(level: int, picture: NDArray[np.uint8]) -> int:
        encoded = io.BytesIO()
        Image.fromarray(picture).save(encoded, "PNG", compress_level=level)
        return encoded.tell()

    pictures = {
        "map": np.rint(255 * probability).astype(np.uint8),
        "mask": np.uint8(255) * (probability >= THRESHOLD),
    }
    ways: dict[str, Callable[[NDArray[np.uint8]], int]] = {
        **{f"Pillow, level {level}": partial(pillow, level) for level in LEVELS},
        CHOSEN: lambda picture: len(grey_png(picture)),
    }
    rows = []
    for way, encode in ways.items():
        row: dict[str, Any] = {"way": way}
        for name, picture in pictures.items():
            start = time.process_time()
            row[f"{name}_bytes"] = encode(picture)
            row[f"{name}_seconds"] = time.process_time() - start
        rows.append(row)
    return rows


def walls(run: Path, photo: Path, count: int) -> dict[str, float]:
    """Seconds of one photograph alone, and from one of ``count`` in a row to the next."""
    photos = [photo.with_name(f"{i}.jpg") for i in range(count)]
    for copy in photos:
        copy.write_bytes(photo.read_bytes())
    moments: list[float] = []

    def found(photos: list[Path]) -> list[Detection]:
        results = detect(
            *(run, map(str, photos), photo.parent / "out"),
            report=lambda result: moments.append(time.perf_counter()),
            device="cuda",
        )
        assert not any(result.error for result in results)
        return results

    [alone] = found(photos[:1])
    assert alone.seconds is not None
    found(photos)
    return {"one": alone.seconds, "the next": (moments[-1] - moments[1]) / (count - 1)}


def measure(
    size: tuple[int, int], repeats: int, count: int, depths: int = DEPTHS, width: float = 1.0
) -> dict[str, Any]:
    """What `host` prints, for a photograph of ``size (height, width)``."""
    gpu = Idle(answer(*size))
    with tempfile.TemporaryDirectory() as folder, launch.using(gpu):
        run, photo = Path(folder) / "run", Path(folder) / "photo.jpg"
        run.mkdir()
        write_run(run, range(1, depths + 1), width)
        write_photo(photo, *size)
        found = stages(run, photo, gpu, repeats)
        encode = max(found[f"encode {kind}"] + found[f"write {kind}"] for kind in ENDINGS)
        return {
            "machine": conditions(),
            "photo": size,
            "launches": found.pop("launches"),
            "cpu_seconds": found,
            "sum": sum(found.values()),
            "longest_path": found["read"] + found["search"] + encode,
            "longest_stage": max(found["read"], found["search"], encode),
            "wall_seconds": walls(run, photo, count),
            "png": png(gpu.answer),
        }


def tables(found: dict[str, Any]) -> list[Table]:
    """The report for a person to read."""
    height, width = found["photo"]
    stages = text.table(
        f"The host's part of a detection, {width} x {height} pixels",
        ["stage"],
        ["CPU seconds"],
        f"The GPU answers at once; its {found['launches']} launches do nothing. The longest path "
        "is that of one photograph on many cores; the longest stage is what each of many takes.",
    )
    for name, seconds in found["cpu_seconds"].items():
        stages.add_row(name, f"{seconds:.3f}")
    for name in ("sum", "longest_path", "longest_stage"):
        stages.add_row(name.replace("_", " "), f"{found[name]:.3f}", style="bold")
    for name, seconds in found["wall_seconds"].items():
        stages.add_row(f"{name}, by the clock here", f"{seconds:.3f}")
    shown = text.table(
        "Grey PNG, CPU seconds and MB", ["encoded"], ["map, s", "map, MB", "mask, s", "mask, MB"]
    )
    for row in found["png"]:
        cells = (
            cell
            for name in ("map", "mask")
            for cell in (f"{row[f'{name}_seconds']:.2f}", f"{row[f'{name}_bytes'] / 1e6:.2f}")
        )
        shown.add_row(row["way"], *cells)
    return [stages, shown]


@click.command()
@options.photo
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1))
@click.option(
    "--photos", default=5, show_default=True, type=click.IntRange(2), help="In a row, on the clock."
)
@options.as_json
def host(photo: tuple[int, int], repeats: int, photos: int, as_json: bool) -> None:
    """Time the host's part of a detection. No GPU is needed.

    A synthetic photograph is read, searched on a GPU that is not there, and the pictures of what a
    trained network might have found are written. CPU seconds are the least of --repeats; what other
    programs do hardly changes them. What CuPy does in a launch
    is not in them, and the GPU's own time is not.
    """
    found = measure((photo[1], photo[0]), repeats, photos)
    if as_json:
        click.echo(json.dumps(found))
    else:
        Console().print(*tables(found))
