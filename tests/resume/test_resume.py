"""A run that is stopped or killed, and resumed, ends with the bits of an undisturbed one."""

import dataclasses
import re
import shlex
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from minispiral.data.synth import write_dataset
from minispiral.runs.checkpoint import load
from minispiral.training import state
from minispiral.training.config import TrainConfig
from minispiral.training.interrupt import Interrupted
from minispiral.training.loop import train
from minispiral.training.reporter import Reporter
from tests.resume.experiment import differences, finish, kill_and_resume, start, train_command

STEPS = 13

pytestmark = pytest.mark.usefixtures("no_curves")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos") / "data"
    write_dataset(folder, photos=2, size=(96, 72), seed=0)
    return folder


@pytest.fixture
def config(data: Path, rng: np.random.Generator) -> TrainConfig:
    return TrainConfig(
        data=data,
        val=data,
        depths=(1, 2),
        width=0.05,
        patch=31,
        batch=4,
        lr=3e-3,
        seed=int(rng.integers(10**6)),
        steps=STEPS,
        validate_every=5,
        checkpoint_every=3,
        log_every=2,
    )


class SignalAt(Reporter):
    """Sends this process a signal after a step, or in the middle of the validation after it."""

    def __init__(self, signum: int, step: int, validation: bool = False) -> None:
        self.signum, self.at, self.validation = signum, step, validation
        self.step = 0

    def stepped(self, step: int, loss: float | None, f1: float | None) -> None:
        self.step = step
        if step == self.at and not self.validation:
            signal.raise_signal(self.signum)

    def validating(self, done: int, total: int) -> None:
        if self.step == self.at and self.validation and done == 1:
            signal.raise_signal(self.signum)


def test_a_signal_stops_after_the_step_with_a_checkpoint(config, tmp_path):
    train(config, tmp_path / "undisturbed")
    for step in range(1, STEPS + 1):
        signum = signal.SIGTERM if step % 2 else signal.SIGINT
        before = signal.getsignal(signum)
        run = tmp_path / f"run-{step}"
        with pytest.raises(Interrupted) as caught:
            train(config, run, report=SignalAt(signum, step))
        assert (caught.value.run, caught.value.step) == (run, step)
        assert caught.value.exit_code == 128 + signum
        assert signal.getsignal(signum) == before
        assert load(run / "last.safetensors").step == step
        train(config, run, resume=True)
        assert differences(run, tmp_path / "undisturbed") == []


@pytest.mark.parametrize("step", [5, 10, STEPS])
def test_a_signal_cuts_a_validation_short(config, tmp_path, step):
    train(config, tmp_path / "undisturbed")
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        train(config, run, report=SignalAt(signal.SIGINT, step, validation=True))
    last = (run / "metrics.csv").read_text().splitlines()[-1]
    assert int(last.split(",")[0]) < step  # the row waits for its scores
    train(config, run, resume=True)
    assert differences(run, tmp_path / "undisturbed") == []


@pytest.fixture
def heeded_ctrl_c():
    """Python's own handler of Ctrl-C: a shell may start the tests with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded_ctrl_c")
def test_a_second_ctrl_c_stops_at_once(config, tmp_path):
    class Impatient(Reporter):
        def stepped(self, step, loss, f1):
            if step == 7:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", report=Impatient())
    assert load(tmp_path / "run" / "last.safetensors").step == 6
    train(config, tmp_path / "run", resume=True)
    train(config, tmp_path / "undisturbed")
    assert differences(tmp_path / "run", tmp_path / "undisturbed") == []


def test_a_crash_before_or_after_any_checkpoint_is_written(config, tmp_path, monkeypatch):
    train(config, tmp_path / "undisturbed")
    true_save = state.save

    class Crash(BaseException):
        pass

    def crash_at(number, after):
        calls = 0

        def save(path, checkpoint):
            nonlocal calls
            calls += 1
            if calls == number and not after:
                raise Crash
            true_save(path, checkpoint)
            if calls == number:
                raise Crash

        return save

    number = 0
    finished = False
    while not finished:
        number += 1
        finished = True
        for after in (False, True):
            run = tmp_path / f"run-{number}-{after}"
            monkeypatch.setattr(state, "save", crash_at(number, after))
            try:
                train(config, run)
            except Crash:
                finished = False
            monkeypatch.setattr(state, "save", true_save)
            train(config, run, resume=True)
            assert differences(run, tmp_path / "undisturbed") == []
    assert number > 6  # 3, 5 (best, last), 6, 9, ... were written


def test_when_checkpoints_are_written_changes_no_bits(config, tmp_path):
    train(config, tmp_path / "undisturbed")
    for every in (1, 4, None):
        run = tmp_path / str(every)
        train(dataclasses.replace(config, checkpoint_every=every), run)
        assert differences(run, tmp_path / "undisturbed") == []


def test_sigkill_at_random_moments(data, rng, tmp_path):
    seed, steps = int(rng.integers(10**6)), 60
    undisturbed = tmp_path / "undisturbed"
    began = time.monotonic()
    finish(start(train_command(data, undisturbed, steps, seed)))
    duration = time.monotonic() - began
    for kill in range(2):
        moment = float(rng.uniform(0.3, 1)) * duration
        trial = kill_and_resume(data, tmp_path / f"run-{kill}", undisturbed, moment, steps, seed)
        assert trial.differences == [], trial


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_command_line_says_how_to_go_on(data, rng, tmp_path, signum):
    run = tmp_path / "run"
    command = train_command(data, run, steps=100_000, seed=int(rng.integers(10**6)))
    process = start(command)
    while not (run / "last.safetensors").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signum)
    _, messages = process.communicate()
    assert process.returncode == 128 + signum
    assert "Traceback" not in messages
    last_line = messages.strip().splitlines()[-1]
    step = int(re.findall(r"step (\d+)", last_line)[-1])
    assert load(run / "last.safetensors").step == step

    resume = shlex.split(last_line[last_line.index("minispiral train") :])
    assert resume == ["minispiral", "train", "--out", str(run), "--resume"]
    finish(start([*command[:2], *resume, "--steps", str(step + 5)]))
    assert load(run / "last.safetensors").step == step + 5
    assert (run / "curves.png").stat().st_size > 1000


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
@pytest.mark.parametrize("ignored", [False, True], ids=["as usual", "under nohup"])
def test_a_closed_terminal_stops_a_run_unless_it_is_to_be_ignored(config, tmp_path, ignored):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        if ignored:
            assert train(config, tmp_path, report=SignalAt(signal.SIGHUP, 4)).step == STEPS
        else:
            with pytest.raises(Interrupted) as stop:
                train(config, tmp_path, report=SignalAt(signal.SIGHUP, 4))
            assert stop.value.exit_code == 129
            assert load(tmp_path / "last.safetensors").step == 4
    finally:
        signal.signal(signal.SIGHUP, before)
