"""HED from VGG-16's weights: what PyTorch makes of them, files good and bad, and resumption."""

import json
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from minispiral.networks import HED, pretrained
from minispiral.runs.checkpoint import load, load_network
from minispiral.tensor import Tensor, no_grad
from minispiral.training.config import TrainConfig
from minispiral.training.state import TrainingState
from tests.networks.test_hed import TRAINING, WIDTH
from tests.small import command, files_of, make_dataset, refusal
from tests.twin import golden_files, vgg

BOTH = pytest.mark.parametrize("name", vgg.PLACES)


def save(path: Path, name: str = "vgg16", width: float = WIDTH, **changes: Any) -> Path:
    """A file such as a user has, with a classifier; ``changes`` of None leave a tensor out."""
    tensors = vgg.weights(name, width) | {"classifier.0.weight": np.ones((4, 7), np.float32)}
    tensors |= changes
    tensors = {key: value for key, value in tensors.items() if value is not None}
    if path.suffix == ".npz":
        np.savez(path, **tensors)
    else:
        safetensors.numpy.save_file(tensors, path)
    return path


@cache
def full(name: str) -> HED:
    """HED of full width that starts from the weights PyTorch was given."""
    features = {
        key: value
        for key, value in vgg.weights(name).items()
        if not key.endswith("num_batches_tracked")
    }
    network = HED(pretrained=name, rng=np.random.default_rng(0))
    weights = pretrained.Weights(Path("vgg.npz"), features)
    assert weights.name == name
    pretrained.copy_into(network, weights)
    network.eval()
    return network


def features_of(network: HED) -> Iterator[np.ndarray]:
    with no_grad():
        yield from (stage.data for stage in network.features(Tensor(vgg.picture())))


@BOTH
def test_features_are_those_torch_once_computed(name: str) -> None:
    golden = json.loads(golden_files.VGG.read_text(encoding="utf-8"))[name]
    found = vgg.samples(features_of(full(name)))
    assert found.keys() == golden.keys()
    for stage, theirs in golden.items():
        ours = found[stage]
        for what in ("max", "samples"):
            worst = np.abs(np.subtract(ours[what], theirs[what])).max() / theirs["max"]
            print(f"{stage}, {what}: {worst:.1e}")
            assert worst < 1e-5
        assert np.count_nonzero(theirs["samples"]) > 20


@BOTH
def test_features_are_those_of_torch_in_every_element(name: str) -> None:
    pytest.importorskip("torch")
    from tests.twin import torch_vgg

    for ours, theirs in zip(features_of(full(name)), torch_vgg.features(name), strict=True):
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() < 1e-5 * theirs.max()


@BOTH
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_file_is_read_as_it_was_written(name: str, suffix: str, tmp_path: Path) -> None:
    read = pretrained.read(save(tmp_path / f"vgg{suffix}", name))
    assert read.name == name
    expected = vgg.weights(name, WIDTH)
    assert read.tensors.keys() == {key for key in expected if "tracked" not in key}
    for key, tensor in read.tensors.items():
        np.testing.assert_array_equal(tensor, expected[key])


def test_half_precision_is_taken(tmp_path: Path, rng: np.random.Generator) -> None:
    half = {key: value.astype(np.float16) for key, value in vgg.weights("vgg16", WIDTH).items()}
    network = HED(WIDTH, "vgg16", rng=rng)
    pretrained.copy_into(network, pretrained.read(save(tmp_path / "vgg.npz", **half)))
    np.testing.assert_array_equal(
        network.state()["encoder.2.conv.w"], half["features.5.weight"].transpose(2, 3, 1, 0)
    )


@BOTH
def test_run_from_weights_needs_their_file_but_once(
    name: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    dataset, run, out = make_dataset(tmp_path / "data", rng), tmp_path / "run", tmp_path / "out"
    file = save(tmp_path / "vgg.safetensors", name)
    config = TrainConfig(data=dataset, network="hed", width=WIDTH, patch=31, batch=4, init=file)
    start = TrainingState(config, run).network.state()
    conv = vgg.weights(name, WIDTH)[f"features.{vgg.PLACES[name][12]}.weight"]
    np.testing.assert_array_equal(start["encoder.12.conv.w"], conv.transpose(2, 3, 1, 0))

    words = ["train", dataset, "--out", run, *TRAINING]
    assert command(*words, "--init", file, "--steps", 2).exit_code == 0
    file.unlink()
    assert command(*words, "--init", file, "--steps", 3, "--resume").exit_code == 0
    assert command(*words, "--steps", 4, "--resume").exit_code == 0
    told = refusal(command(*words, "--init", tmp_path / "other.npz", "--resume"))
    assert "init was" in told
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert config == load(run / "last.safetensors").config
    assert config["init"] == str(file)
    network = load_network(run)
    assert isinstance(network, HED)
    assert network.pretrained == config["pretrained"] == name
    assert ("encoder.0.norm.gamma" in network.state()) == (name == "vgg16_bn")
    assert command("evaluate", run, dataset, "--json").exit_code == 0
    assert command("detect", run, dataset / "images", "--out", out).exit_code == 0


def test_resumed_run_ends_with_the_bits_of_one_that_went_on(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    dataset, file = make_dataset(tmp_path / "data", rng), save(tmp_path / "vgg.npz", "vgg16_bn")
    words = ["train", dataset, *TRAINING, "--init", file]
    assert command(*words, "--out", tmp_path / "whole", "--steps", 4).exit_code == 0
    assert command(*words, "--out", tmp_path / "parts", "--steps", 2).exit_code == 0
    assert command(*words, "--out", tmp_path / "parts", "--steps", 4, "--resume").exit_code == 0
    whole, parts = (load(tmp_path / run / "last.safetensors") for run in ("whole", "parts"))
    assert whole.tensors.keys() == parts.tensors.keys()
    for key, tensor in whole.tensors.items():
        np.testing.assert_array_equal(tensor, parts.tensors[key])


def bad_file(folder: Path, kind: str) -> Path:
    npz, tensors = folder / "vgg.npz", folder / "vgg.safetensors"
    wrong = np.ones((2, 3, 3, 3), np.float32)
    match kind:
        case "missing":
            return folder / "absent.npz"
        case "folder":
            npz.mkdir()
        case "pickle":
            (folder / "vgg16.pth").write_bytes(b"\x80\x02}q\x00.")
            return folder / "vgg16.pth"
        case "other kind":
            (folder / "vgg.h5").write_bytes(b"")
            return folder / "vgg.h5"
        case "no archive":
            npz.write_bytes(b"PK, but nothing else")
        case "no safetensors":
            tensors.write_bytes(b"nothing")
            return tensors
        case "cut short":
            tensors.write_bytes(save(tensors).read_bytes()[:-9])
            return tensors
        case "damaged":
            content = bytearray(save(npz).read_bytes())
            content[300] ^= 1
            npz.write_bytes(content)
        case "object":
            np.savez(npz, **{"features.0.weight": np.array([Path()], object)}, allow_pickle=True)
        case "no features":
            np.savez(npz, weight=wrong)
        case "no array":
            with zipfile.ZipFile(npz, "w") as archive:
                archive.writestr("features.0.weight", "text")
        case "tensor missing":
            save(npz, **{"features.5.bias": None})
        case "tensor missing, batch norm":
            save(npz, "vgg16_bn", **{"features.8.running_var": None})
        case "misshapen":
            save(npz, **{"features.0.weight": np.ones((2, 3, 5, 5), np.float32)})
        case "another width":
            save(npz, width=2 * WIDTH)
        case "deeper":
            save(npz, **{"features.30.weight": wrong})
        case "not finite":
            save(npz, **{"features.0.weight": wrong * np.nan})
        case "beyond float32":
            save(npz, **{"features.0.weight": wrong.astype(float) * 1e300})
        case "negative variance":
            save(npz, "vgg16_bn", **{"features.1.running_var": np.full(2, -1, np.float32)})
        case "integers":
            save(npz, **{"features.0.weight": wrong.astype(int)})
    return npz


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("missing", "expected a run folder, a checkpoint or, for network hed,"),
        ("folder", "There is no checkpoint"),
        ("pickle", "convert it: python -c"),
        ("other kind", "of another kind; give a .safetensors or .npz file"),
        ("no archive", "damaged, or not what its name says"),
        ("no safetensors", "damaged, or not what its name says"),
        ("cut short", "damaged, or not what its name says"),
        ("damaged", "damaged, or not what its name says"),
        ("object", "damaged, or not what its name says"),
        ("no features", "holds no tensor features."),
        ("no array", "damaged, or not what its name says (features.0.weight is no array)"),
        ("tensor missing", "lacks features.5.bias"),
        ("tensor missing, batch norm", "lacks features.8.running_var"),
        ("misshapen", "features.0.weight the shape (2, 3, 5, 5), expected (2, 3, 3, 3)"),
        ("another width", "features.0.weight the shape (4, 3, 3, 3), expected (2, 3, 3, 3)"),
        ("deeper", "holds features.30.weight, which vgg16 does not have"),
        ("not finite", "gives features.0.weight values that are not finite floating-point numbers"),
        ("beyond float32", "gives features.0.weight values that are not finite"),
        ("negative variance", "gives features.1.running_var values that are negative"),
        ("integers", "gives features.0.weight values that are int64, not floating-point numbers"),
    ],
)
def test_file_that_cannot_serve_is_told_before_any_work(
    kind: str, told: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    dataset = make_dataset(tmp_path / "data", rng)
    file = bad_file(tmp_path, kind)
    before = files_of(tmp_path)
    sentence = refusal(
        command("train", dataset, "--out", tmp_path / "run", *TRAINING, "--init", file)
    )
    assert told in sentence
    assert str(file) in sentence
    assert files_of(tmp_path) == before
    assert not (tmp_path / "run").exists()


def test_weights_for_another_network_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    dataset = make_dataset(tmp_path / "data", rng)
    for name, why in {
        "vgg.npz": "is no checkpoint of minispiral, from which network spiral could start: weights "
        "of VGG-16 are for network hed; change --init.",
        "vgg.safetensors": "is a safetensors file of another program",
    }.items():
        words = ["train", dataset, "--out", tmp_path / "run", "--init", save(tmp_path / name)]
        assert f"{name} {why}" in refusal(command(*words, "--network", "spiral"))
    assert not (tmp_path / "run").exists()


def test_run_without_weights_takes_none_later(tmp_path: Path, rng: np.random.Generator) -> None:
    words = ["train", make_dataset(tmp_path / "data", rng), "--out", tmp_path / "run", *TRAINING]
    assert command(*words, "--steps", 1).exit_code == 0
    file = save(tmp_path / "vgg.npz")
    told = refusal(command(*words, "--steps", 2, "--init", file, "--resume"))
    assert "init was not given and is now" in told
