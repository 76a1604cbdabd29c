"""A photograph searched for cracks on the GPU, from its file to the files of the result."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.table import Table

from bench.common import text
from bench.common.clock import HostClock
from bench.common.task import DEPTHS
from bench.common.worker import Answer, Work
from bench.gpu.clock import DeviceClock
from bench.gpu.reporting import Report, quiet
from bench.gpu.session import RequestFailed, Session
from minispiral.data.photos import read_photo, write_picture
from minispiral.data.synth import make_sample
from minispiral.detection.detect import detect
from minispiral.detection.tiling import predict
from minispiral.device import choose
from minispiral.networks import build
from minispiral.runs import checkpoint

PRECISIONS = ("tf32", "float32")
TILE = 512  # pixels of synthetic concrete, repeated over the photograph


def write_run(run: Path, depths: Iterable[int], width: float) -> None:
    """A run with an untrained network: the time does not depend on what it finds."""
    depths = list(depths)
    network = build("spiral", depths=depths, width=width, rng=np.random.default_rng(0))
    kept = {"network": "spiral", "depths": depths, "connection": "concat", "width": width}
    tensors = {f"network.{name}": array for name, array in network.state().items()}
    checkpoint.save(run / "last.safetensors", checkpoint.Checkpoint(0, kept, tensors, {}, {}))


def write_photo(path: Path, height: int, width: int) -> None:
    """Synthetic concrete, in tiles, as a JPEG file."""
    tile = make_sample(np.random.default_rng(0), TILE, TILE).photo
    counts = -(-height // TILE), -(-width // TILE)
    write_picture(path, np.tile(tile, (*counts, 1))[:height, :width])


def worker(clock: DeviceClock) -> Work:
    """Answers with the seconds of a detection and of its parts."""

    def work(request: Answer) -> Answer:
        precision, repeats = request["precision"], request["repeats"]
        height, width = request["photo"]
        with tempfile.TemporaryDirectory() as folder:
            run, path, out = (Path(folder) / name for name in ("run", "photo.jpg", "out"))
            run.mkdir()
            write_run(run, range(1, request["depths"] + 1), request["width"])
            write_photo(path, height, width)

            def detection() -> float:
                (found,) = detect(run, [str(path)], out, device="cuda", precision=precision)
                assert found.seconds is not None, found.error
                return found.seconds

            detection()
            before = clock.free()
            seconds = [detection() for _ in range(repeats)]
            photo, computing = read_photo(path), choose("cuda", precision)
            network = checkpoint.load_network(run, device=computing)
            with computing.in_use():
                predicting = HostClock().seconds(lambda: predict(network, photo), repeats)
            reading = HostClock().seconds(lambda: read_photo(path), repeats)
        return {
            "seconds": seconds,
            "predict": predicting,
            "read": reading,
            "grown_bytes": before - clock.free(),
        }

    return work


def measure(
    session: Session,
    photo: tuple[int, int],
    repeats: int,
    depths: int = DEPTHS,
    width: float = 1.0,
    report: Report = quiet,
) -> dict[str, Any]:
    """Medians for a photograph of ``photo (height, width)``, in each precision."""
    found: dict[str, Any] = {"photo": photo, "width": width}
    request = {"photo": photo, "repeats": repeats, "depths": depths, "width": width}
    for i, precision in enumerate(PRECISIONS):
        try:
            answer = session.ask(precision=precision, **request)
            found[precision] = {
                "seconds": median(answer["seconds"]),
                "slowest_seconds": max(answer["seconds"]),
                "predict_seconds": median(answer["predict"]),
                "read_seconds": median(answer["read"]),
                "grown_mib": answer["grown_bytes"] / 2**20,
            }
        except RequestFailed as error:
            found[precision] = error.as_dict()
        item = {"precision": precision, **found[precision]}
        report(item, found, (i + 1) / len(PRECISIONS))
    return found


def tables(found: dict[str, Any]) -> Iterable[Table]:
    """The report for a person to read."""
    height, width = found["photo"]
    shown = text.table(
        f"Detection in a photograph of {width} x {height} pixels, seconds",
        ["precision"],
        ["from file to files", "slowest", "the map alone", "decoding"],
    )
    for precision in PRECISIONS:
        row = found.get(precision)
        if row is None:
            continue
        if "error" in row:
            shown.add_row(precision, row["error"])
            continue
        keys = ("seconds", "slowest_seconds", "predict_seconds", "read_seconds")
        shown.add_row(precision, *(f"{row[key]:.3f}" for key in keys))
    return [shown]
