"""Two writers at a time: of one run, of one folder of detections; and readers beside a writer."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.campaign.commands import Ended, Started, half_files
from tests.small import NETWORK, make_photo, make_trained

TRAINING = [*NETWORK, "--patch", "31", "--batch", "4", "--lr", "0.01", "--patches-per-image", "8"]
BUSY = "Another process is training"


def run(scale: float, report: Callable[[str], None]) -> dict[str, Any]:
    """Let two commands write in one place, ``30 * scale`` times each pair."""
    failures: list[str] = []
    cases = 0
    with tempfile.TemporaryDirectory(prefix="minispiral-") as name:
        trained = make_trained(Path(name) / "trained")
        for what, trial in TRIALS.items():
            for k in range(max(1, round(30 * scale))):
                out = Path(name) / "out"
                out.mkdir()
                failures += [f"{what}: {fault}" for fault in trial(trained, out, k)]
                shutil.rmtree(out)
                cases += 1
            report(f"writers: {what} tried, {cases} cases, {len(failures)} failures")
    return {"cases": cases, "failures": failures}


def two_runs(trained: Path, out: Path, k: int) -> Iterator[str]:
    """Two trainings in one folder, at once and one a little later: exactly one trains."""
    words = ["train", trained / "data", "--out", out / "run", *TRAINING, "--steps", 400]
    yield from _exactly_one(out, [Started(*words), _later(k, *words)])
    resumed = Started("train", "--out", out / "run", "--resume", "--steps", 401).wait()
    if resumed.exit_code != 0:
        yield f"the run does not go on: {resumed.messages[-200:]}"


def two_resumed(trained: Path, out: Path, k: int) -> Iterator[str]:
    """One run resumed twice: exactly one goes on."""
    shutil.copytree(trained / "run", out / "run")
    words = ["train", "--out", out / "run", "--resume", "--steps", 400]
    yield from _exactly_one(out, [Started(*words), _later(k, *words)])


def two_demonstrations(trained: Path, out: Path, k: int) -> Iterator[str]:
    """Two demonstrations in one folder: exactly one goes on."""
    words = ["demo", "--out", out / "demo"]
    yield from _exactly_one(out, [Started(*words), _later(k, *words)])


def same_photographs(trained: Path, out: Path, k: int) -> Iterator[str]:
    """Two detections of the same photographs into one folder: all files whole, at all times."""
    words = ["detect", trained / "run", trained / "data/images", "--out", out]
    thresholds = ("0.2", "0.8")
    started = [Started(*words, "--threshold", threshold) for threshold in thresholds]
    yield from _watched(out, started)
    yield from _expect(out, [path.stem for path in (trained / "data/images").iterdir()])


def other_photographs(trained: Path, out: Path, k: int) -> Iterator[str]:
    """Two detections of different photographs into one folder: all results of both."""
    rng = np.random.default_rng()
    photos = [out / f"photos {part}" for part in "ab"]
    for folder in photos:
        folder.mkdir()
        for i in range(4):
            picture = Image.fromarray(make_photo(rng, 40, 60)[0])
            picture.save(folder / f"{folder.name[-1]}{i}.png")
    found = out / "found"
    yield from _watched(
        found, [Started("detect", trained / "run", folder, "--out", found) for folder in photos]
    )
    yield from _expect(found, [f"{part}{i}" for part in "ab" for i in range(4)])


def read_meanwhile(trained: Path, out: Path, k: int) -> Iterator[str]:
    """A run that is evaluated and detected with while it saves its checkpoints."""
    data = trained / "data"
    shutil.copytree(trained / "run", out / "run")
    words = ["train", "--out", out / "run", "--resume", "--steps", 100_000]
    writer = Started(*words, environment={"MINISPIRAL_THREADS": "1"})
    readers = [
        Started("evaluate", out / "run", data),
        Started("detect", out / "run", data / "images", "--out", out / "found"),
    ]
    for ended in [reader.wait() for reader in readers]:
        if ended.exit_code != 0:
            yield f"{ended.command} failed beside a training: {ended.messages[-200:]}"
    writer.process.terminate()
    ended = writer.wait()
    if ended.exit_code not in (143, -15) or "Traceback" in ended.messages:
        yield f"training ended with {ended.exit_code}: {ended.messages[-200:]}"
    yield from half_files(out)


TRIALS: dict[str, Callable[[Path, Path, int], Iterator[str]]] = {
    "two runs": two_runs,
    "a run resumed twice": two_resumed,
    "two demonstrations": two_demonstrations,
    "the same photographs": same_photographs,
    "other photographs": other_photographs,
    "a run that is read": read_meanwhile,
}


def _later(k: int, *words: object) -> Started:
    """Start a command at once for k = 0, else up to half a second later."""
    time.sleep(k % 6 / 10)
    return Started(*words)


def _exactly_one(out: Path, started: list[Started]) -> Iterator[str]:
    """One command succeeds, the other is told why not."""
    ended = list(_ends(started))
    yield from (one.fault for one in ended if one.fault is not None)
    refused = [one for one in ended if one.exit_code != 0]
    # Who comes when the other has finished finds its run.
    reasons = (BUSY, "already holds a run")
    if len(refused) > 1 or not all(any(r in one.messages for r in reasons) for one in refused):
        yield f"refused: {[one.messages[-200:] for one in refused]}"
    yield from half_files(out)


def _watched(out: Path, started: list[Started]) -> Iterator[str]:
    """Look at the results while they are written, and after."""
    while any(one.running for one in started):
        yield from (fault for fault in half_files(out) if not fault.endswith("left behind"))
    for one in _ends(started):
        if one.exit_code != 0:
            yield f"failed: {one.messages[-300:]}"
    yield from half_files(out)


def _ends(started: list[Started]) -> Iterator[Ended]:
    return (one.wait() for one in started)


def _expect(out: Path, stems: list[str]) -> Iterator[str]:
    endings = (".probability.png", ".mask.png", ".overlay.jpg")
    expected = {stem + ending for stem in stems for ending in endings}
    found = {path.name for path in out.iterdir() if path.is_file()}
    if found != expected:
        yield f"found {sorted(found ^ expected)} too much or too little"
