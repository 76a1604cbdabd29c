"""A resumed run has its own options, and what is given must agree with them or may change."""

import dataclasses
import json
import re
from pathlib import Path

import click
import numpy as np
import pytest

from minispiral.cli.train import train as train_command
from minispiral.errors import UserError
from minispiral.runs.checkpoint import load
from minispiral.training.config import MAY_CHANGE, TrainConfig
from minispiral.training.resume import is_saved, resumed_config
from tests.small import command, files_of, make_dataset, refusal

OPTIONS = [
    "--depths",
    "1-2",
    "--width",
    "0.06",
    "--patch",
    "31",
    "--batch",
    "3",
    "--patches-per-image",
    "8",
    "--lr",
    "0.013",
]


@pytest.fixture
def data(tmp_path: Path, rng: np.random.Generator) -> Path:
    return make_dataset(tmp_path / "data", rng)


def begin(data: Path, run: Path, *words: object) -> None:
    assert command("train", data, "--out", run, *OPTIONS, *words).exit_code == 0


def test_no_option_is_needed_and_the_bits_are_those_of_one_run(data: Path, tmp_path: Path) -> None:
    extra = ["--loss", "focal", "--focal-alpha", 0.4, "--beta1", 0.8, "--val", data, "--seed", 5]
    begin(data, tmp_path / "whole", *extra, "--steps", 9)
    begin(data, tmp_path / "parts", *extra, "--steps", 4)
    resumed = command("train", "--out", tmp_path / "parts", "--resume", "--steps", 9)
    assert resumed.exit_code == 0, resumed.stderr
    whole, parts = (load(tmp_path / name / "last.safetensors") for name in ("whole", "parts"))
    assert parts.config == whole.config
    assert parts.tensors.keys() == whole.tensors.keys()
    for name, tensor in whole.tensors.items():
        np.testing.assert_array_equal(tensor, parts.tensors[name], err_msg=name)


@pytest.mark.parametrize("which", ["all", "some", "none"])
def test_what_is_typed_again_must_agree(which: str, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    begin(data, run, "--steps", 3)
    typed = {"all": [data, *OPTIONS], "some": [data, "--lr", "0.013"], "none": []}[which]
    assert command("train", *typed, "--out", run, "--resume", "--steps", 4).exit_code == 0
    before = files_of(run)
    sentence = refusal(command("train", *typed, "--out", run, "--resume", "--batch", 4))
    assert "batch was 3 and is now 4" in sentence
    assert {name: files_of(run)[name] for name in before} == before


def test_an_option_that_equals_the_default_is_typed_all_the_same(
    data: Path, tmp_path: Path
) -> None:
    begin(data, tmp_path / "run", "--steps", 3)
    words = ["train", "--out", tmp_path / "run", "--resume", "--lr", TrainConfig.lr]
    assert "lr was 0.013 and is now 0.0001" in refusal(command(*words))


def test_epochs_take_the_place_of_steps(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    begin(data, run, "--steps", 3)
    assert command("train", "--out", run, "--resume", "--epochs", 2).exit_code == 0
    assert load(run / "last.safetensors").step == 16  # 3 photographs of 8 patches, batches of 3
    assert command("train", "--out", run, "--resume", "--steps", 17).exit_code == 0
    assert load(run / "last.safetensors").step == 17


@pytest.mark.parametrize("what", ["data", "val"])
def test_photographs_that_have_moved_are_asked_for(
    what: str, data: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    run, val = tmp_path / "run", make_dataset(tmp_path / "val", rng, photos=2)
    begin(data, run, "--val", val, "--steps", 3)
    moved = (tmp_path / what).rename(tmp_path / "moved")
    again = ["--out", run, "--resume", "--steps", 4]
    sentence = refusal(command("train", *again))
    assert str(tmp_path / what) in sentence
    assert ("DATA" if what == "data" else "--val") in sentence
    typed = [moved] if what == "data" else ["--val", moved]
    assert command("train", *typed, *again).exit_code == 0
    assert command("train", *again[:-1], 5).exit_code == 0  # the place is known from now on


def test_nothing_to_resume(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert str(run) in refusal(command("train", "--out", run, "--resume"))
    assert not run.exists()
    words = ["train", data, "--out", run, *OPTIONS, "--steps", 2, "--resume"]
    assert command(*words).exit_code == 0
    missing = command("train", "--out", tmp_path / "other")
    assert missing.exit_code == 2
    assert "Missing argument 'DATA'" in missing.stderr


@pytest.mark.parametrize("content", [None, "", "{", "[1]", '{"mine": 1}'])
def test_the_checkpoint_knows_the_options_too(
    content: str | None, data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    begin(data, run, "--steps", 3)
    if content is None:
        (run / "config.json").unlink()
    else:
        (run / "config.json").write_text(content)
    assert command("train", "--out", run, "--resume", "--steps", 4).exit_code == 0
    assert load(run / "last.safetensors").step == 4


def test_options_changed_by_hand_are_not_passed_over(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    begin(data, run, "--steps", 3)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "lr": 0.5}))
    assert "lr was 0.013 and is now 0.5" in refusal(command("train", "--out", run, "--resume"))
    (run / "config.json").write_text(json.dumps({**config, "lr": "fast"}))
    assert "damaged" in refusal(command("train", "--out", run, "--resume"))


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        *((place, "no longer in") for place in ("gone", "y" * 300, "a/" * 3000, "a\0b", "\ud800")),
        *((place, "damaged") for place in (3, 10**400, True, ["gone"], {})),
    ],
    ids=lambda value: f"{value!r:.20}",
)
@pytest.mark.parametrize("name", ["data", "val"])
def test_places_that_are_none(name: str, place: object, reason: str, tmp_path: Path) -> None:
    config = {**TrainConfig(tmp_path).as_dict(), name: place}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=reason):
        resumed_config(tmp_path, {})


def test_the_options_of_version_0_1_are_filled_up() -> None:
    run = Path(__file__).parents[1] / "runs" / "golden" / "v0.1" / "run"
    data = run.parent / "data"
    found = resumed_config(run, {"data": data, "val": data})
    saved = json.loads((run / "config.json").read_text())
    assert found.as_dict() == {
        **TrainConfig(data).as_dict(),
        **saved,
        "data": str(data),
        "val": str(data),
    }


def test_a_run_that_has_not_begun_is_not_saved(data: Path, tmp_path: Path) -> None:
    config = TrainConfig.from_dict({"data": data, "depths": (1, 2), "steps": 3})
    assert not is_saved(config, tmp_path / "run")
    begin(data, tmp_path / "run", "--steps", 3)
    saved = resumed_config(tmp_path / "run", {})
    assert is_saved(saved, tmp_path / "run")
    assert not is_saved(dataclasses.replace(saved, seed=1), tmp_path / "run")
    with pytest.raises(UserError, match="no photographs"):
        resumed_config(tmp_path / "elsewhere", {"lr": 0.1})


def test_the_help_says_what_may_change() -> None:
    [resume] = [param for param in train_command.params if param.name == "resume"]
    assert isinstance(resume, click.Option)
    names = {
        param.name: param.opts[0] if isinstance(param, click.Option) else "DATA"
        for param in train_command.params
    }
    expected = {names[name] for name in MAY_CHANGE if name in names}
    assert {*re.findall(r"--[a-z-]+|DATA", str(resume.help))} == expected
