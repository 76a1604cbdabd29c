"""Training, scoring and detection on the CPU device for CUDA kernels, from the command line."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest

from minispiral.data.photos import read_photo
from minispiral.detection import tiling
from minispiral.detection.detect import detect
from minispiral.detection.tiling import predict
from minispiral.device import Device
from minispiral.kernels.cuda import launch
from minispiral.runs.checkpoint import load, load_network
from minispiral.training.config import TrainConfig
from minispiral.training.demo import demo
from minispiral.training.loop import train
from tests.cuda_on_cpu import CpuDevice, needs_compiler
from tests.small import NETWORK, TINY_DEMO, TRAINING, command, files_of, make_dataset

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]


@pytest.fixture(autouse=True)
def gpu():
    """What ``--device cuda`` and ``auto`` find in this file."""
    with launch.using(CpuDevice()) as device:
        yield device


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("data"), np.random.default_rng(), photos=2)


def tensors(run, name="last"):
    checkpoint = load(run / f"{name}.safetensors")
    return {key: (array.dtype, array.tobytes()) for key, array in checkpoint.tensors.items()}


def config(data, device, steps=6, **recipe):
    return TrainConfig(
        data=data,
        depths=(1, 2),
        width=0.06,
        patch=31,
        batch=4,
        steps=steps,
        lr=0.01,
        log_every=2,
        device=device,
        **recipe,
    )


def test_train_evaluate_detect_and_inspect(data, tmp_path, gpu):
    runs = [tmp_path / name for name in "ab"]
    for run in runs:
        result = command("train", data, "--val", data, "--out", run, *TRAINING, "--device", "auto")
        assert result.exit_code == 0, result.output
        assert "computing on CUDA on the CPU, in float32\n" in result.stderr
    assert tensors(runs[0]) == tensors(runs[1])
    assert tensors(runs[0], "best") == tensors(runs[1], "best")
    rows = [(run / "metrics.csv").read_text().splitlines() for run in runs]
    assert len(rows[0]) == 2
    columns = [i for i, name in enumerate(rows[0][0].split(",")) if name != "seconds"]
    for a, b in zip(*rows, strict=True):
        assert [a.split(",")[i] for i in columns] == [b.split(",")[i] for i in columns]

    photo = data / "images" / "a.png"
    launched = len(gpu.launched)
    scores, probabilities = [], []
    for device in ("cuda", "cpu"):
        options = ("--device", device, "--json")
        scores.append(json.loads(command("evaluate", runs[0], data, *options).stdout))
        out = tmp_path / f"found-{device}"
        assert command("detect", runs[0], photo, "--out", out, *options).exit_code == 0
        probabilities.append(read_photo(out / "a.probability.png").astype(int))
        maps = ("--out", tmp_path / f"{device}.png", "--device", device)
        assert command("inspect", runs[0], photo, *maps).exit_code == 0
        assert (len(gpu.launched) == launched) == (device == "cpu")
        launched = len(gpu.launched)
    for key in ("average_precision", "precision", "recall", "f1"):
        assert scores[0][key] == pytest.approx(scores[1][key], abs=0.02), key
    assert np.abs(probabilities[0] - probabilities[1]).max() <= 1


def test_probabilities_are_those_of_numpy(data, tmp_path, monkeypatch):
    run = tmp_path / "run"
    train(config(data, "cpu"), run)
    photo = read_photo(data / "images" / "b.png")
    for batch, most in ((1, photo.size), (2, photo.size - 1), (None, photo.size)):
        monkeypatch.setattr(tiling, "MOST_ELEMENTS", most)  # beyond it, the host keeps the map
        ours, theirs = (
            predict(load_network(run, device=device), photo, side=127, batch=batch)
            for device in (Device("cuda"), Device("cpu"))
        )
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_several_photographs_one_of_them_damaged(data, tmp_path):
    train(config(data, "cpu"), tmp_path / "run")
    photos = tmp_path / "photos"
    shutil.copytree(data / "images", photos)
    (photos / "c.png").write_bytes((photos / "a.png").read_bytes()[:300])
    shutil.copy(data / "images" / "a.png", photos / "d.png")
    found = {}
    for device in ("cuda", "cpu"):
        told, progress = [], []
        out = tmp_path / device
        results = detect(
            *(tmp_path / "run", [str(photos)], out),
            report=told.append,
            progress=lambda *done, progress=progress: progress.append(done),
            device=device,
        )
        assert told == results
        assert [result.error is None for result in results] == [True, True, False, True]
        assert progress == sorted(progress)
        assert progress[-1] == (4, 4)
        found[device] = {path.name: read_photo(path) for path in sorted(out.iterdir())}
    assert len(found["cuda"]) == 9
    for name, picture in found["cpu"].items():
        if "probability" in name:
            assert np.abs(found["cuda"][name].astype(int) - picture).max() <= 1


@pytest.mark.parametrize(("first", "then"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_run_goes_on_on_another_device(data, tmp_path, first, then):
    """Near what it would have become where it began.

    The devices round differently, and Adam makes steps of one size of gradients of any size: where
    a gradient is nothing but rounding, weights may go either way, by 0.01 a step.
    """
    moved, stayed = tmp_path / "moved", tmp_path / "stayed"
    train(config(data, first, steps=3), moved)
    train(config(data, then), moved, resume=True)
    train(config(data, first), stayed)
    here, there = load(moved / "last.safetensors"), load(stayed / "last.safetensors")
    assert here.step == there.step == 6
    assert here.tensors["adam.step"] == 6
    assert here.random_state == there.random_state
    assert [row.split(",")[0] for row in (moved / "metrics.csv").read_text().splitlines()] == [
        "step",
        *("2", "3", "4", "6"),
    ]
    assert here.tensors.keys() == there.tensors.keys()
    for name, array in there.tensors.items():
        assert here.tensors[name].dtype == array.dtype
    apart = [
        np.abs(here.tensors[name] - array).ravel()
        for name, array in there.tensors.items()
        if name.startswith("network.") and "running" not in name
    ]
    assert np.quantile(np.concatenate(apart), 0.75) < 1e-3
    assert np.concatenate(apart).max() < 0.13


def test_the_first_loss_is_the_same_on_both_devices(data, tmp_path, gpu):
    """Of the same patches, flipped by the host for one and by a kernel for the other."""
    losses = []
    for device in ("cuda", "cpu"):
        run = tmp_path / device
        short = config(data, device, steps=1)
        train(dataclasses.replace(short, batch=16, loss="cross-entropy"), run)
        (row,) = csv.DictReader((run / "metrics.csv").read_text().splitlines())
        losses.append(float(row["loss"]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert {"flip<unsigned char>", "flip<bool>"} <= set(gpu.launched)


@pytest.mark.parametrize("recipe", [{}, {"warmup": 3, "clip": 1e-3, "average": True}])
def test_a_run_that_is_resumed_ends_with_the_same_bits(data, tmp_path, recipe):
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    train(config(data, "cuda", steps=4, **recipe), parts)
    train(config(data, "cuda", **recipe), parts, resume=True)
    train(config(data, "cuda", **recipe), whole)
    assert tensors(parts) == tensors(whole)
    assert ("average.mix.w" in tensors(whole)) == ("average" in recipe)


def test_a_loss_that_is_no_number_ends_the_run(data, tmp_path):
    wild = ["--lr", "1e30", "--steps", "30", "--checkpoint-every", "1"]
    words = ["train", data, "--out", tmp_path / "run", *NETWORK, "--patch", "31", "--batch", "4"]
    result = command(*words, *wild[:4], "--device", "cuda")
    assert result.exit_code == 1
    assert "not a finite number" in result.stderr


def test_the_demonstration(tmp_path):
    settings = dataclasses.replace(TINY_DEMO, photos=1, unseen_photos=1, side=64, patch=31)
    demo(tmp_path / "demo", settings=settings, device="cuda")
    assert "comparison.png" in files_of(tmp_path / "demo")


def test_gradients_are_checked_on_the_device(gpu):
    names = ["conv2d", "conv_norm_relu", "edge_pad", "concatenate", "pseudo-f1", "ConvReLU"]
    result = command("gradcheck", *names, "--device", "cuda", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["passed"]
    assert {"conv2d<double>", "edge_pad_grad<double>", "join_channels<double>"} <= set(gpu.launched)
    assert not any("float" in name for name in gpu.launched if "convert" not in name)


def test_a_profile_is_of_the_cpu(data, tmp_path):
    words = ["train", data, "--out", tmp_path / "run", *TRAINING, "--profile"]
    assert "--device cpu" in command(*words, "--device", "cuda").stderr
    assert not (tmp_path / "run").exists()
