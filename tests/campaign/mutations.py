"""Damaged pictures, checkpoints and run folders, each read as the commands read them.

What is read as a photograph and as a mask is also checked as a dataset, with its contact sheet. A
damaged file is read or refused with a `UserError`. Anything else is a failure: another exception, a
warning of NumPy's, a process that dies or that takes more than five seconds, and memory that grows
from file to file.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minispiral.data.check import check
from minispiral.data.decode import orientation_of
from minispiral.data.photos import read_mask, read_photo
from minispiral.errors import UserError
from minispiral.memory import memory_for
from minispiral.report.contact_sheet import ContactSheet
from tests.campaign.damage import damaged
from tests.campaign.pool import MB, Outcome, Pool
from tests.campaign.run_folders import damage_run, make_runs, use_run
from tests.campaign.samples import SIDES, samples

PICTURES, FOLDERS = 10_000, 2_000
GROWTH = 64 * MB  # of what a process holds, from its hundredth file to its last

Report = Callable[[str], None]


def run(
    scale: float, report: Report, seed: int = 0, keep: Path | None = None, processes: int = 1
) -> dict[str, Any]:
    """Read ``scale`` times 10,000 damaged pictures and 2,000 damaged run folders.

    What fails is copied to the folder ``keep``, with its traceback.
    """
    result: dict[str, Any] = {}
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="minispiral-") as name:
        for kind, total, work, jobs in (
            ("pictures", PICTURES, read_picture, pictures),
            ("run folders", FOLDERS, use_run, folders),
        ):
            folder = Path(name, kind.replace(" ", "-"))
            folder.mkdir()
            count = max(1, round(total * scale))
            tally = Tally(kind, count, report, keep)
            pool = Pool(work, processes)
            for outcome in pool.run(jobs(folder, count, seed)):
                tally.add(outcome)
            if pool.growth > GROWTH:
                tally.failures.append(f"memory grew by {pool.growth / MB:.0f} MB over {kind}")
            failures += tally.failures
            result[kind] = {
                "tried": tally.tried,
                "refused": tally.refused,
                "longest_seconds": round(tally.longest, 2),
                "most_held_mb": round(tally.memory / MB),
                "growth_mb": round(pool.growth / MB, 1),
            }
            report(f"{kind}: {result[kind]}, {len(tally.failures)} failures")
    return {**result, "failures": failures}


class Tally:
    """Counts outcomes, keeps what failed and removes the rest."""

    def __init__(self, kind: str, total: int, report: Report, keep: Path | None) -> None:
        self.kind, self.total, self.report, self.keep = kind, total, report, keep
        self.tried = self.refused = self.memory = 0
        self.longest = 0.0
        self.failures: list[str] = []

    def add(self, outcome: Outcome) -> None:
        """Count ``outcome``, whose job is the damaged file or folder."""
        path = Path(outcome.job)
        self.tried += 1
        self.refused += outcome.refused
        self.longest = max(self.longest, outcome.seconds)
        self.memory = max(self.memory, outcome.memory)
        if outcome.trouble is not None:
            reason = outcome.trouble.strip().splitlines()[-1]
            self.failures.append(f"{path.name}: {reason}")
            self.report(f"{self.kind}: FAILED {path.name}: {reason}")
            if self.keep is not None:
                self._keep(path, outcome.trouble)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        if self.tried % 1000 == 0:
            self.report(f"{self.kind}: {self.tried} of {self.total}, {len(self.failures)} failures")

    def _keep(self, path: Path, trouble: str) -> None:
        assert self.keep is not None
        self.keep.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, self.keep / path.name, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy(path, self.keep)
        (self.keep / f"{path.name}.txt").write_text(trouble, encoding="utf-8")


def pictures(folder: Path, count: int, seed: int) -> Iterator[str]:
    """Damaged pictures in ``folder``, of every format in turn; each has a seed of its own."""
    sound = samples(np.random.default_rng(seed))
    by_format: dict[str, list[str]] = {}
    for name in sound:
        by_format.setdefault(name.split("-")[0], []).append(name)
    names = list(by_format.values())
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        name = str(rng.choice(names[k % len(names)]))
        content, damage = damaged(sound[name], rng, SIDES)
        path = folder / f"{k}-{name}-{damage}.picture"
        path.write_bytes(content)
        yield str(path)


def read_picture(name: str) -> bool:
    """Read the file as a photograph and as a mask; whether it was refused as either."""
    path = Path(name)
    orientation_of(path)
    if _refused(read_photo, path) | _refused(read_mask, path):
        return True
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        for part in ("images", "masks"):
            Path(folder, part).mkdir()
            Path(folder, part, "wall.png").symlink_to(path)
        sheet = ContactSheet()
        found = check(folder, seen=sheet.add)
        assert found.errors == []
        json.dumps(found.as_dict(), allow_nan=False)
        sheet.write(Path(folder, "sheet.html"), found)
    return False


def _refused(read: Callable[[Path], Any], path: Path) -> bool:
    try:
        with memory_for(path):
            array = read(path)
    except UserError:
        return True
    assert array.ndim >= 2
    assert array.size > 0
    return False


def folders(folder: Path, count: int, seed: int) -> Iterator[str]:
    """Damaged run folders in ``folder``."""
    runs = make_runs(folder / "sound", seed)
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        source = runs[k % len(runs)]
        path = folder / f"{k}-{source.name}"
        shutil.copytree(source, path)
        damage = damage_run(path, rng)
        yield str(path.rename(folder / f"{path.name}-{damage}"))
