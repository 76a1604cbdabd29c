"""``train --init``: a run that starts from the weights of another."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from minispiral.runs import trained as packaged
from minispiral.runs.checkpoint import load, load_network, save
from minispiral.training.config import TrainConfig
from minispiral.training.state import TrainingState
from tests.small import command, files_of, make_dataset, refusal

SHAPES = {
    "spiral": ["--depths", "2,1", "--connection", "sum"],
    "unet": ["--network", "unet", "--depths", "2"],
    "wide-unet": ["--network", "wide-unet", "--depths", "2"],
    "hed": ["--network", "hed"],
}
WIDTH = ["--width", "0.06"]
TRAINING = ["--patch", "31", "--batch", "3", "--lr", "0.01", "--patches-per-image", "8"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"), np.random.default_rng())


def begin(data: Path, run: Path, *words: object, steps: int = 2) -> str:
    done = command("train", data, "--out", run, *TRAINING, *words, "--steps", steps)
    assert done.exit_code == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Spiral-Net, trained with validation: ``best`` and ``last`` differ."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    begin(data, folder, *SHAPES["spiral"], *WIDTH, "--val", data)
    best = load(folder / "best.safetensors")
    best.tensors = {
        k: v + np.float32(0.25) if "network" in k else v for k, v in best.tensors.items()
    }
    save(folder / "best.safetensors", best)
    return folder


def started(config: dict[str, object], run: Path) -> TrainingState:
    return TrainingState(TrainConfig.from_dict(config), run)


@pytest.mark.parametrize("network", SHAPES)
def test_every_network_takes_all_weights_and_adam_begins_anew(
    network: str, data: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    begin(data, tmp_path / "a", *SHAPES[network], *WIDTH)
    told = begin(data, tmp_path / "b", "--init", tmp_path / "a", "--seed", 7)
    assert f"starts from the weights of {tmp_path / 'a' / 'best.safetensors'}, step 2" in told

    before = load(tmp_path / "a" / "best.safetensors")
    config = json.loads((tmp_path / "b" / "config.json").read_text(encoding="utf-8"))
    assert [config[name] for name in ("network", "depths", "connection", "width")] == [
        before.config[name] for name in ("network", "depths", "connection", "width")
    ]
    state = started(config, tmp_path / "elsewhere")
    found = state.network.state()
    statistics = {name for name in found if name.endswith(("running_mean", "running_var"))}
    assert statistics or network == "hed"
    assert all(
        (before.tensors[f"network.{name}"] != name.endswith("var")).any() for name in statistics
    )
    for name, array in found.items():
        assert array.tobytes() == before.tensors[f"network.{name}"].tobytes(), name
    assert state.step == state.adam.steps == 0
    assert not any(array.any() for array in (*state.adam.m.values(), *state.adam.v.values()))
    after = load(tmp_path / "b" / "last.safetensors")
    assert (after.step, after.tensors["adam.step"]) == (2, 2)


def test_the_run_records_where_it_came_from(data: Path, run: Path, tmp_path: Path) -> None:
    for k, init in enumerate((run, run / "best.safetensors", run / "last.safetensors")):
        begin(data, tmp_path / str(k), "--init", init, steps=1)
    configs = [load(tmp_path / str(k) / "last.safetensors").config for k in range(3)]
    files = [run / f"{name}.safetensors" for name in ("best", "best", "last")]
    assert [config["init_file"] for config in configs] == list(map(str, files))
    for config, file in zip(configs, files, strict=True):
        digest = hashlib.sha256()
        for name, array in sorted(load(file).part("network").items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
        assert config["init_digest"] == digest.hexdigest()[:16]
    assert configs[0]["init_digest"] != configs[2]["init_digest"]

    (run.parent / "moved").mkdir()
    gone = shutil.move(tmp_path / "1", run.parent / "moved")
    again = ["train", "--out", gone, "--resume", "--steps", 2]
    assert command(*again).exit_code == 0  # what it was made from may be gone by then
    assert load(Path(gone) / "last.safetensors").config["init_digest"] == configs[1]["init_digest"]
    assert "init was" in refusal(command(*again[:-1], 3, "--init", tmp_path / "0"))


def test_a_run_without_best_gives_its_last(data: Path, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "best.safetensors").unlink()
    told = begin(data, tmp_path / "new", "--init", copy, "--resume", steps=1)
    assert f"starts from the weights of {copy / 'last.safetensors'}, step 2" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--width", "0.12"],
            "stages.0.encoder.0.conv.w is of shape (3, 3, 3, 4) in {file} "
            "and of shape (3, 3, 3, 8) in this network",
        ),
        (["--depths", "1,2"], "stages.0.decoder.0.conv.w is of shape (3, 3, 4, 8) in {file}"),
        (["--depths", "2"], " and missing in this network"),
        (["--network", "unet", "--depths", "2"], " is missing in {file} and of shape "),
    ],
)
def test_weights_of_another_architecture_are_refused_by_their_first_tensor(
    words: list[str], told: str, data: Path, run: Path, tmp_path: Path
) -> None:
    sentence = refusal(command("train", data, "--out", tmp_path / "new", "--init", run, *words))
    assert told.format(file=run / "best.safetensors") in sentence
    assert "network spiral, depths 2,1, connection sum, width 0.06" in sentence
    assert "--init" in sentence
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["cut short", "not finite", "missing", "other", "no folder"])
def test_files_that_cannot_serve_are_told_before_any_work(
    kind: str, data: Path, run: Path, tmp_path: Path
) -> None:
    file = tmp_path / "weights.safetensors"
    content = (run / "best.safetensors").read_bytes()
    match kind:
        case "cut short":
            file.write_bytes(content[: len(content) // 2])
            told = "is not a checkpoint or was cut short"
        case "not finite":
            checkpoint = load(run / "best.safetensors")
            next(iter(checkpoint.part("network").values())).flat[0] = np.nan
            save(file, checkpoint)
            told = "not finite floating-point numbers"
        case "missing":
            told = "There is no "
        case "other":
            file = file.with_suffix(".jpg")
            file.write_bytes(b"\xff\xd8")
            told = "is no checkpoint of minispiral"
        case "no folder":
            file = tmp_path / "absent"
            told = "There is no "
    before = files_of(tmp_path)
    sentence = refusal(command("train", data, "--out", tmp_path / "new", "--init", file))
    assert told in sentence
    assert str(file) in sentence
    assert files_of(tmp_path) == before


def test_pretrained_is_one_file_of_the_package(
    data: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", data, "--out", tmp_path / "new", *TRAINING, "--init", "pretrained"]
    monkeypatch.setattr(packaged, "PACKAGED", tmp_path / "packaged.safetensors")
    assert "comes without trained weights" in refusal(command(*words))
    assert "comes without trained weights" in refusal(command("evaluate", "pretrained", data))
    shutil.copy(run / "best.safetensors", packaged.PACKAGED)
    assert command(*words, "--steps", 1).exit_code == 0
    expected = load(run / "best.safetensors").part("network")
    for name, array in load_network("pretrained").state().items():
        assert array.tobytes() == expected[name].tobytes()
    assert command("evaluate", "pretrained", data, "--json").exit_code == 0


@pytest.mark.parametrize("change", ["lr", "val", "photograph", "depths"])
def test_what_cannot_be_resumed_can_start_another_run(
    change: str, data: Path, run: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    old, more = tmp_path / "old run", make_dataset(tmp_path / "more", rng, photos=4)
    begin(data, old, *SHAPES["spiral"], *WIDTH)
    words = {
        "lr": ["--lr", "0.5"],
        "val": ["--val", more],
        "photograph": [more],
        "depths": ["--depths", "2"],
    }[change]
    sentence = refusal(command("train", *words, "--out", old, "--resume", "--steps", 3))
    way = f"begin another run from the weights of this one with --init '{old}' and another --out."
    assert (way in sentence) == (change != "depths")
