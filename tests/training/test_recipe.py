"""The recipe beyond the paper: options of `train` that are off by default."""

import csv
import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from minispiral.data.photos import read_mask, read_photo
from minispiral.detection.metrics import score_photo
from minispiral.detection.tiling import predict
from minispiral.errors import UserError
from minispiral.networks import build
from minispiral.optim import Adam
from minispiral.runs.checkpoint import load, load_network
from minispiral.training.average import Average
from minispiral.training.config import TrainConfig
from minispiral.training.interrupt import Interrupted
from minispiral.training.loop import train
from minispiral.training.schedule import Schedule
from tests.resume.experiment import differences
from tests.resume.test_resume import SignalAt
from tests.small import command, make_dataset, refusal

pytestmark = pytest.mark.usefixtures("no_curves")

RECIPE = {
    "schedule": "cosine",
    "warmup": 3,
    "average": True,
    "average_decay": 0.8,
    "clip": 1e-4,
    "augment": True,
    "crack_share": 0.5,
}


@pytest.fixture
def config(tmp_path: Path, rng: np.random.Generator) -> TrainConfig:
    return TrainConfig(
        data=make_dataset(tmp_path / "data", rng),
        depths=(1, 2),
        width=0.06,
        patch=31,
        batch=3,
        lr=0.02,
        steps=9,
        seed=int(rng.integers(10**6)),
    )


def changed(config: TrainConfig, **options: object) -> TrainConfig:
    return dataclasses.replace(config, **options)


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate of every step of Adam from here on."""
    found: list[float] = []
    step = Adam.step

    def noted(self: Adam) -> None:
        found.append(float(self._update.lr))
        step(self)

    monkeypatch.setattr(Adam, "step", noted)
    return found


@pytest.mark.parametrize(
    ("options", "shares"),
    [
        ({}, [1] * 6),
        ({"warmup": 4}, [0.25, 0.5, 0.75, 1, 1, 1]),
        ({"schedule": "cosine"}, [1, 0.9330127, 0.75, 0.5, 0.25, 0.0669873]),
        ({"schedule": "cosine", "warmup": 2}, [0.5, 1, 1, 0.8535534, 0.5, 0.1464466]),
    ],
)
def test_every_step_has_the_rate_of_the_schedule(options, shares, config, rates, tmp_path):
    train(changed(config, steps=6, **options), tmp_path / "run")
    assert rates == pytest.approx([0.02 * share for share in shares], abs=1e-9)


def test_epochs_count_for_the_cosine_and_a_resumed_run_keeps_to_it(config, rates, tmp_path):
    config = changed(config, steps=None, epochs=2, patches_per_image=4, schedule="cosine")
    with pytest.raises(Interrupted):
        train(config, tmp_path / "run", report=SignalAt(15, 3))
    train(config, tmp_path / "run", resume=True)
    assert rates == pytest.approx([0.01 * (1 + math.cos(math.pi * k / 8)) for k in range(8)])
    for longer in ({"epochs": 3}, {"steps": 9}):
        with pytest.raises(UserError, match=rf"{next(iter(longer))} was"):
            train(changed(config, **longer), tmp_path / "run", resume=True)
    train(changed(config, schedule="constant"), tmp_path / "other")
    longer = changed(config, schedule="constant", epochs=3)
    assert train(longer, tmp_path / "other", resume=True).step == 12


def test_a_warm_up_beyond_the_run_is_refused(config, tmp_path):
    with pytest.raises(UserError, match="fewer than the 9 steps") as refused:
        train(changed(config, warmup=9), tmp_path / "run")
    assert refused.value.parameter == "warmup"
    assert Schedule(changed(config, warmup=8), 9).rate(8) == config.lr


def test_the_average_is_that_of_weights_and_statistics(config, tmp_path, monkeypatch):
    """By the formula, in float64, from the networks after each step."""
    seen: list[dict[str, np.ndarray]] = []
    update = Average.update

    def noted(self: Average, step: int) -> None:
        assert step == len(seen) + 1
        names = self.network.state()
        values = zip(names, self._pairs, strict=True)
        seen.append({name: value.astype(np.float64) for name, (_, value) in values})
        update(self, step)

    monkeypatch.setattr(Average, "update", noted)
    checkpoint = train(changed(config, average=True, average_decay=0.4), tmp_path / "run")
    raw, averaged = checkpoint.part("network"), checkpoint.part("average")
    assert raw.keys() == averaged.keys()
    assert any(name.endswith("running_var") for name in averaged)
    for name, found in averaged.items():
        expected = np.zeros(found.shape)
        for t, state in enumerate(seen, 1):
            decay = min(0.4, (1 + t) / (10 + t))
            expected = decay * expected + (1 - decay) * state[name]
        began = math.prod(min(0.4, (1 + t) / (10 + t)) for t in range(1, 10))
        scale = np.abs(raw[name]).max() + 1
        np.testing.assert_allclose(found, expected, rtol=0, atol=(2 * began + 1e-6) * scale)
        assert found.tobytes() != raw[name].tobytes()
    network = load_network(tmp_path / "run")
    assert not network.training
    for name, array in network.state().items():
        assert array.tobytes() == averaged[name].tobytes()


def test_a_constant_network_is_its_own_average(rng):
    """To the last digits after many steps: both weights add up to one in float32 too."""
    network, other = (
        build("spiral", depths=(1,), width=0.05, rng=np.random.default_rng(k)) for k in range(2)
    )
    average = Average(network, other, 0.999)
    for array in network.state().values():
        array += rng.standard_normal(array.shape).astype(np.float32)
    for step in range(1, 4000):
        average.update(step)
    for name, array in average.network.state().items():
        np.testing.assert_allclose(array, network.state()[name], rtol=2e-5, atol=2e-5)


def test_the_average_is_what_is_validated_and_kept(config, tmp_path):
    run = tmp_path / "run"
    config = changed(config, average=True, average_decay=0.9, val=config.data, steps=60)
    train(changed(config, validate_every=20), run)
    with (run / "metrics.csv").open(newline="") as file:
        table = [row for row in csv.DictReader(file) if row["val_f1"]]
    scores = {int(row["step"]): float(row["val_f1"]) for row in table}
    best = load(run / "best.safetensors")
    assert best.step == max(scores, key=scores.__getitem__)

    def f1(network) -> float:
        found = []
        for name in ("a.png", "b.png", "c.png"):
            probability = predict(network, read_photo(config.data / "images" / name))
            found.append(score_photo(name, probability, read_mask(config.data / "masks" / name)).f1)
        return float(np.mean(found))

    network = load_network(run)
    assert f1(network) == pytest.approx(max(scores.values()), rel=1e-5)
    network.load_state(best.part("network"))
    assert f1(network) != pytest.approx(max(scores.values()), rel=1e-5)


def test_a_run_starts_from_the_average_of_another(config, tmp_path):
    averaged = train(changed(config, average=True), tmp_path / "a").part("average")
    words = ["--out", tmp_path / "b", "--init", tmp_path / "a", "--patch", 31, "--lr", 1e-30]
    assert command("train", config.data, *words, "--steps", 1).exit_code == 0
    found = load(tmp_path / "b" / "last.safetensors").part("network")
    for name, array in averaged.items():
        if not name.endswith(("mean", "var")):
            assert array.tobytes() == found[name].tobytes()


def test_a_resumed_run_ends_with_the_bits_of_one_that_went_on(config, tmp_path):
    config = changed(config, val=config.data, validate_every=4, checkpoint_every=3, **RECIPE)
    train(config, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(config, tmp_path / "parts", report=SignalAt(15, 5))
    train(config, tmp_path / "parts", resume=True)
    assert differences(tmp_path / "parts", tmp_path / "whole") == []


def test_each_option_changes_the_weights_but_the_average_only_what_is_kept(config, tmp_path):
    config = changed(config, steps=4)
    plain = train(config, tmp_path / "plain").part("network")
    for name, value in RECIPE.items():
        options = {name: value, "average": name in ("average", "average_decay")}
        found = train(changed(config, **options), tmp_path / name)
        same = all(plain[k].tobytes() == x.tobytes() for k, x in found.part("network").items())
        assert same == options["average"], name
        assert bool(found.part("average")) == options["average"]


def test_an_option_may_not_change_when_the_run_is_resumed(config, tmp_path):
    train(config, tmp_path / "run")
    for name, value in RECIPE.items():
        options = {name: value} | ({"average": True} if name == "average_decay" else {})
        with pytest.raises(UserError, match=f"{name} was"):
            train(changed(config, **options), tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--schedule", "linear"], "Invalid value for '--schedule'"),
        (["--warmup", -1], "warmup -1 was given, expected at least 0; change --warmup"),
        (["--average-decay", 1], "average_decay 1.0 was given, expected at least 0 and below 1"),
        (["--average-decay", 0.9], "but no average is to be kept; add --average"),
        (["--clip", 0], "clip 0.0 was given, expected a positive number; change --clip"),
        (
            ["--crack-share", 1.5],
            "crack_share 1.5 was given, expected 0 to 1; change --crack-share",
        ),
    ],
)
def test_values_that_cannot_be_are_refused(words, told, config, tmp_path):
    result = command("train", config.data, "--out", tmp_path / "run", *words)
    assert told in (refusal(result) if result.exit_code == 1 else result.stderr)
    assert not (tmp_path / "run").exists()


def test_the_share_of_crack_in_the_patches_is_said(config, tmp_path):
    words = [
        "--out",
        tmp_path / "run",
        "--depths",
        "1",
        "--patch",
        15,
        "--steps",
        1,
        "--width",
        0.06,
    ]
    done = command("train", config.data, *words, "--crack-share", 1)
    [line] = [line for line in done.stderr.splitlines() if "of the patches" in line]
    photographs, patches = (float(word[:-1]) for word in line.split() if word.endswith("%"))
    masks = [read_mask(path) for path in sorted((config.data / "masks").iterdir())]
    assert photographs == pytest.approx(100 * np.mean([mask.mean() for mask in masks]), abs=0.006)
    assert patches > 1.5 * photographs
