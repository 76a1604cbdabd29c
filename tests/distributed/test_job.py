"""What the user of mpiexec sees: one voice, one end, whatever happens to whom."""

import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from minispiral.runs.checkpoint import load
from minispiral.training import interrupt
from tests import launch
from tests.launch import Launch
from tests.small import TRAINING, command, files_of, make_dataset

FULL = "minispiral: The memory is full; choose a smaller --width or --patch or --batch.\n"
ALONE = "In process 1 of 2, on "

# What is planted in which process, and the exit code, the beginning and the end of the messages.
FAULTS: dict[tuple[str, int], tuple[int, str, str]] = {
    ("memory", 1): (1, ALONE, FULL),
    ("memory", -1): (1, FULL, FULL),
    ("bug-late", 0): (1, "Traceback", "ZeroDivisionError: a bug\n"),
    ("interrupt", 1): (130, ALONE, "--steps 6 --lr 0.01 --device cpu --resume\n"),
    ("exit", 1): (7, "", ""),
    ("option", 1): (1, "minispiral: --lr is 0.01 in process 0, but 0.5 in process 1; start", ""),
    ("version", 1): (1, "minispiral: the version of minispiral is ", ""),
    ("unknown option", 1): (2, ALONE, "No such option '--learning'.\n"),
}


def test_a_failure_of_one_or_of_all_is_one_message(
    mpiexec: Launch, tmp_path: Path, rng: np.random.Generator
) -> None:
    data = make_dataset(tmp_path / "data", rng)
    before = files_of(tmp_path)
    words = ["train", data, "--out", tmp_path / "run", *TRAINING, "--device", "cpu"]

    def failed(fault: tuple[str, int]) -> "subprocess.CompletedProcess[str]":
        return mpiexec(2, "-m", "tests.distributed.faulty", *fault, *words)

    with ThreadPoolExecutor(3) as pool:  # each waits for the other process most of the time
        found = dict(zip(FAULTS, pool.map(failed, FAULTS), strict=True))
    for fault, (code, begin, end) in FAULTS.items():
        done = found[fault]
        assert done.returncode == code, (fault, done)
        assert done.stdout == "", fault
        assert done.stderr.startswith(begin), (fault, done.stderr)
        assert done.stderr.endswith(end), (fault, done.stderr)
        for sign in ("minispiral: ", "Traceback", "Error"):
            assert done.stderr.count(sign) <= 1 + ("bug" in fault[0]), (fault, done.stderr)
    assert "go on with: mpiexec -n 2 minispiral train " in found["interrupt", 1].stderr
    assert files_of(tmp_path) == before


def test_what_needs_no_others_is_done_once(mpiexec: Launch, tmp_path: Path) -> None:
    words = ["synth", tmp_path / "data", "--photos", 1, "--size", "96x72"]
    done = mpiexec(2, "-m", "minispiral", *words)
    assert (done.returncode, done.stdout.count("photographs with masks")) == (0, 1)
    done = mpiexec(2, "-m", "minispiral", "check", tmp_path / "nowhere")
    assert (done.returncode, done.stderr.count("minispiral: ")) == (1, 1)
    assert mpiexec(2, "-m", "minispiral", "--version").stdout.count("version") == 1


@pytest.mark.usefixtures("mpiexec", "no_curves")
def test_a_signal_to_mpiexec_stops_all_after_one_step(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    signum = int(rng.choice([signal.SIGINT, signal.SIGTERM]))
    out = tmp_path / "run"
    words = ["train", make_dataset(tmp_path / "data", rng), "--out", out, *TRAINING]
    words += ["--device", "cpu", "--steps", 99999]
    program = launch.mpiexec()
    assert program is not None
    process = subprocess.Popen(
        [program, "-n", "2", sys.executable, "-m", "minispiral", *map(str, words)],
        cwd=launch.ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (out / "metrics.csv").exists() and (out / "metrics.csv").read_text().count("\n") > 1:
            break
        time.sleep(0.02)
    process.send_signal(signum)
    messages = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + signum, messages
    assert messages.count("minispiral: ") == 1
    assert "Traceback" not in messages
    said = messages[messages.index("minispiral: ") :].splitlines()[0]
    step = load(out / "last.safetensors").step
    assert f"minispiral: Stopped after step {step}; go on with: " in said
    typed = shlex.split(said.partition("go on with: ")[2])
    assert typed[:4] == ["mpiexec", "-n", "2", "minispiral"]
    resumed = command(*typed[4:], "--steps", step + 2)  # by one process
    assert resumed.exit_code == 0, resumed.stderr
    assert load(out / "last.safetensors").step == step + 2


def test_a_signal_that_comes_twice_to_several_processes_counts_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interrupt.stop_requests(several=True) as stop:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            assert stop.signum == signal.SIGINT
            later = time.monotonic() + interrupt.REPEATED
            monkeypatch.setattr(interrupt.time, "monotonic", lambda: later + 1)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
