"""Runs that cannot go on: one clear sentence, a non-zero exit, the last good checkpoint kept."""

import errno
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from minispiral import losses
from minispiral.tensor import Tensor
from tests.small import TRAINING, command, files_of, refusal

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A run of one's own, trained on ``trained / "data"``."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("last.safetensors", "best.safetensors", "config.json", "metrics.csv"):
        (folder / name).write_bytes((trained / "run" / name).read_bytes())
    return folder


@pytest.mark.parametrize("option", ["--loss f1", "--width 0.1", "--patch 35", "--seed 3"])
def test_resuming_with_other_options_is_refused_and_names_them(
    option: str, trained: Path, run: Path
) -> None:
    before = files_of(run)
    words = ["train", trained / "data", "--out", run, *TRAINING]
    sentence = refusal(command(*words, "--resume", *option.split()))
    name, value = option.split()
    assert f"{name.removeprefix('--')} was" in sentence
    assert value in sentence
    assert {name: files_of(run)[name] for name in before} == before


def test_an_existing_run_is_not_trained_over(trained: Path, run: Path) -> None:
    before = files_of(run)
    sentence = refusal(command("train", trained / "data", "--out", run, *TRAINING))
    assert "--resume" in sentence
    assert {name: files_of(run)[name] for name in before} == before


@pytest.mark.parametrize("name", ["config.json", "metrics.csv"])
def test_files_of_another_program_are_not_replaced(
    name: str, trained: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_text('{"mine": [1, 2]}')
    for resume in ([], ["--resume"]):
        sentence = refusal(
            command("train", trained / "data", "--out", tmp_path, *TRAINING, *resume)
        )
        assert str(tmp_path / name) in sentence
    assert (tmp_path / name).read_text() == '{"mine": [1, 2]}'


def test_a_loss_that_turns_nan_keeps_the_last_good_checkpoint(
    trained: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files_of(run)
    good = losses.LOSSES["pseudo-f1"]
    steps = iter(range(7, 100))

    def turning_nan(logits: Tensor, mask: np.ndarray) -> Tensor:
        loss = good(logits, mask)
        if next(steps) == 9:
            loss.data = np.full_like(loss.data, math.nan)
        return loss

    monkeypatch.setitem(losses.LOSSES, "pseudo-f1", turning_nan)
    words = ["train", trained / "data", "--out", run, *TRAINING, "--steps", 20, "--resume"]
    sentence = refusal(command(*words))
    assert "step 9" in sentence
    assert "step 6" in sentence  # the checkpoint that is kept
    for name in ("last.safetensors", "best.safetensors"):
        assert (run / name).read_bytes() == before[name]


def test_weights_that_overflow_stop_the_run(trained: Path, tmp_path: Path) -> None:
    words = ["train", trained / "data", "--out", tmp_path / "run", *TRAINING]
    sentence = refusal(command(*words, "--steps", 50, "--lr", "1e38"))
    assert "step" in sentence
    assert "--lr" in sentence
    assert not list((tmp_path / "run").glob("*.safetensors"))


def test_a_full_disk_keeps_the_last_good_checkpoint(
    trained: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files_of(run)

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    words = ["train", trained / "data", "--out", run, *TRAINING, "--steps", 8, "--resume"]
    assert "disk is full" in refusal(command(*words))
    after = files_of(run)
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if name.endswith(".part")]


SMALL_DISK = """
set -e
mount -t tmpfs -o size=16k tmpfs "$1"
cd "$2"
shift 2
"$@"
"""


def test_a_disk_that_is_really_full_is_told_in_one_sentence(trained: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        mounts = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
        probe = [*mounts, f"mount -t tmpfs tmpfs {disk}"]
        subprocess.run(probe, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs Linux user namespaces, to mount a small disk")
    minispiral = [sys.executable, "-m", "minispiral"]
    for words in (
        ["train", str(trained / "data"), "--out", str(disk / "run"), *TRAINING],
        ["detect", str(trained / "run"), str(trained / "data/images"), "--out", str(disk / "out")],
        ["synth", str(disk / "synthetic"), "--size", "400x300"],
    ):
        done = subprocess.run(
            [*mounts, SMALL_DISK, "sh", str(disk), str(ROOT), *minispiral, *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        last = done.stderr.splitlines()[-1]
        assert last.startswith("minispiral: ")
        assert "space" in last


def spoil_checkpoint(run: Path, how: str) -> str:
    """Spoil both checkpoints of a run in the way ``how``; returns a word the refusal must have."""
    for path in run.glob("*.safetensors"):
        match how:
            case "missing":
                path.unlink()
            case "empty":
                path.write_bytes(b"")
            case "truncated":
                path.write_bytes(path.read_bytes()[:-100])
            case "not safetensors":
                path.write_bytes(os.urandom(1000))
            case "of another program":
                safetensors.numpy.save_file({"x": np.zeros(3)}, path)
            case "of another architecture":
                with safetensors.safe_open(path, "numpy") as file:
                    metadata = file.metadata()
                    tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                header = json.loads(metadata["minispiral"])
                header["config"]["depths"] = [2, 2]
                safetensors.numpy.save_file(tensors, path, {"minispiral": json.dumps(header)})
    return "safetensors"


@pytest.mark.parametrize("job", ["evaluate", "detect"])
@pytest.mark.parametrize(
    "how",
    [
        "missing",
        "empty",
        "truncated",
        "not safetensors",
        "of another program",
        "of another architecture",
    ],
)
def test_a_checkpoint_that_cannot_be_used_is_named(
    how: str, job: str, trained: Path, run: Path, tmp_path: Path
) -> None:
    expected = spoil_checkpoint(run, how)
    data = trained / "data"
    words = {
        "evaluate": ["evaluate", run, data],
        "detect": ["detect", run, data / "images", "--out", tmp_path / "out"],
    }
    sentence = refusal(command(*words[job]))
    assert str(run) in sentence
    assert expected in sentence


@pytest.mark.parametrize("how", ["truncated", "not safetensors", "of another program"])
def test_a_spoilt_checkpoint_is_not_resumed_nor_replaced(
    how: str, trained: Path, run: Path
) -> None:
    spoil_checkpoint(run, how)
    before = files_of(run)
    words = ["train", trained / "data", "--out", run, *TRAINING, "--steps", 9, "--resume"]
    assert str(run) in refusal(command(*words))
    assert {name: files_of(run)[name] for name in before} == before


def test_two_processes_cannot_train_in_one_run_folder(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["train", str(trained / "data"), "--out", str(out), *TRAINING, "--steps", "1000000"]
    first = subprocess.Popen(
        [sys.executable, "-m", "minispiral", *words],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not (out / "config.json").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        sentence = refusal(command(*words, "--resume"))
        assert "process" in sentence
        assert str(out) in sentence
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()
    assert command(*words, "--steps", 5, "--resume").exit_code == 0  # the lock went with it


@pytest.mark.parametrize(
    ("ending", "value"),
    [
        (".w", math.nan),
        (".b", -math.inf),
        ("running_mean", math.nan),
        ("running_var", -1),
        ("adam.m", math.inf),
        ("adam.v", -1e-9),
    ],
)
def test_weights_that_can_only_give_nan_are_refused_at_every_door(
    ending: str, value: float, trained: Path, run: Path, rng: np.random.Generator
) -> None:
    for path in run.glob("*.safetensors"):
        with safetensors.safe_open(path, "numpy") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        name = next(
            name
            for name in rng.permutation(sorted(tensors))
            if name.endswith(ending) or name.startswith(f"{ending}.")
        )
        spoilt = tensors[name] = tensors[name].copy()
        spoilt.flat[rng.integers(spoilt.size)] = value
        safetensors.numpy.save_file(tensors, path, metadata)
    before = files_of(run)
    photo = next((trained / "data/images").iterdir())
    for words in (
        ["detect", run, photo, "--out", run / "out"],
        ["evaluate", run, trained / "data"],
        ["inspect", run, photo, "--out", run / "maps.png"],
        ["train", "--out", run, "--resume", "--steps", 9],
    ):
        sentence = refusal(command(*words))
        assert str(run) in sentence
        assert ending in sentence
    assert {name: files_of(run)[name] for name in before} == before
