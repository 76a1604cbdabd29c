"""A full disk, a limit on the size of files and a read-only folder, at every write.

The disks are small ones in memory, which only root may mount; others try the limit alone.
"""

import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minispiral.runs.checkpoint import load
from tests.campaign.commands import Ended, Started, half_files
from tests.small import NETWORK, files_of, make_trained

TRAINING = [*NETWORK, "--patch", "31", "--batch", "4", "--lr", "0.01"]
DISK = 32 << 20  # bytes, more than any of the commands writes
STEPS = 9  # of a resumed run

Words = Callable[[Path], list[object]]


def run(scale: float, report: Callable[[str], None]) -> dict[str, Any]:
    """Try every command with too little room, in steps that are the finer the larger ``scale``."""
    tries = max(3, round(60 * scale))
    cases = dict.fromkeys(("full disk", "limited files", "read-only"), 0)
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="minispiral-") as name:
        trained = make_trained(Path(name) / "trained")
        bench = Bench(trained, Path(name) / "out")
        for command, words in commands(trained).items():
            for kind, found in (
                ("full disk", bench.full_disk(command, words, tries)),
                ("limited files", bench.limited_files(command, words, tries)),
                ("read-only", bench.read_only(command, words)),
            ):
                for faults in found:
                    cases[kind] += 1
                    failures += [f"{kind}, {fault}" for fault in faults]
            report(f"disk: {command} tried, {sum(cases.values())} cases, {len(failures)} failures")
    return {"cases": sum(cases.values()), **cases, "failures": failures}


def commands(trained: Path) -> dict[str, Words]:
    """The words of each command, given the folder into which it writes."""
    data, network = trained / "data", trained / "run"
    return {
        "train": lambda out: ["train", data, "--out", out / "run", *TRAINING, "--steps", STEPS],
        "resume": lambda out: ["train", "--out", out / "run", "--resume", "--steps", STEPS],
        "detect": lambda out: ["detect", network, data / "images", "--out", out / "found"],
        "inspect": lambda out: ["inspect", network, data / "images/a.png", "--out", out / "m.png"],
        "synth": lambda out: ["synth", out / "concrete", "--photos", 2, "--size", "160x120"],
        "demo": lambda out: ["demo", "--out", out / "demo"],
        "evaluate": lambda out: ["evaluate", network, data],
    }


class Bench:
    """Tries a command in ``out`` and yields the faults of each try."""

    def __init__(self, trained: Path, out: Path) -> None:
        self.trained, self.out = trained, out
        out.mkdir()
        whole = trained / "whole"
        shutil.copytree(trained / "run", whole)
        assert Started("train", "--out", whole, "--resume", "--steps", STEPS).wait().exit_code == 0
        self.whole = load(whole / "last.safetensors").tensors

    def prepare(self, command: str) -> None:
        """What lies in the folder before the command runs."""
        if command == "resume":
            shutil.copytree(self.trained / "run", self.out / "run")

    def full_disk(self, command: str, words: Words, tries: int) -> Iterator[list[str]]:
        """A disk with room for less and less of what the command writes."""
        if not can_mount():
            return
        with small_disk(self.out):
            self.prepare(command)
            before = shutil.disk_usage(self.out).used
            Started(*words(self.out)).wait()
            needed = 2 * (shutil.disk_usage(self.out).used - before) + 65536
        for k in range(tries):
            with small_disk(self.out):
                self.prepare(command)
                room = needed * k // tries
                ballast = self.out / "ballast"
                ballast.write_bytes(bytes(shutil.disk_usage(self.out).free - room))
                ended = Started(*words(self.out)).wait()
                ballast.unlink()
                yield self.faults(command, words, ended, f"{room} bytes free")

    def limited_files(self, command: str, words: Words, tries: int) -> Iterator[list[str]]:
        """Files of at most so many bytes."""
        for size in np.unique(np.geomspace(1, 300_000, tries).astype(int) - 1):
            self.prepare(command)
            ended = Started(*words(self.out), limits={resource.RLIMIT_FSIZE: int(size)}).wait()
            yield self.faults(command, words, ended, f"files of {size} bytes")
            empty(self.out)

    def read_only(self, command: str, words: Words) -> Iterator[list[str]]:
        """A folder that cannot be written to."""
        if not can_mount():
            return
        with small_disk(self.out):
            self.prepare(command)
            before = files_of(self.out)
            subprocess.run(["mount", "-o", "remount,ro", self.out], check=True)
            ended = Started(*words(self.out)).wait()
            faults = [] if ended.fault is None else [ended.fault]
            if (ended.exit_code == 0) != (command == "evaluate"):
                faults.append(f"{command}: exit code {ended.exit_code}")
            if files_of(self.out) != before:
                faults.append(f"{command}: files have changed")
            yield faults

    def faults(self, command: str, words: Words, ended: Ended, where: str) -> list[str]:
        """What is wrong after a try; a run must go on where it was, once there is room."""
        found = [] if ended.fault is None else [ended.fault]
        found += half_files(self.out)
        if command == "evaluate" and ended.exit_code != 0:
            found.append(f"evaluate writes nothing, and failed: {ended.messages[-200:]}")
        if command in ("train", "resume"):
            again = words(self.out) if command == "resume" else [*words(self.out), "--resume"]
            resumed = Started(*again).wait()
            if resumed.exit_code != 0:
                found.append(f"{command} did not go on: {resumed.messages[-200:]}")
            elif command == "resume":
                tensors = load(self.out / "run" / "last.safetensors").tensors
                if any((tensors[name] != self.whole[name]).any() for name in self.whole):
                    found.append("the resumed run has other weights")
        return [f"{where}: {fault}" for fault in found]


def can_mount() -> bool:
    """Whether this process may mount disks."""
    return hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("mount") is not None


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of `DISK` bytes in the place of ``folder``."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def empty(folder: Path) -> None:
    """Remove what is in ``folder``."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
