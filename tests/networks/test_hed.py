"""HED: parameters, alignment, side outputs, and its way through the commands."""

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minispiral import ops
from minispiral.errors import UserError
from minispiral.networks import HED, NETWORKS, build
from minispiral.networks.describe import describe
from minispiral.networks.hed import enlarge
from minispiral.runs.checkpoint import load_network
from minispiral.tensor import Tensor, no_grad
from minispiral.training.config import TrainConfig
from minispiral.training.loop import train
from tests.small import command, make_dataset
from tests.twin import vgg

WIDTH = 0.03
TRAINING = ["--network", "hed", "--width", WIDTH, "--patch", 31, "--batch", 4]


def pictures(rng: np.random.Generator, *shape: int) -> Tensor:
    return Tensor(rng.uniform(-1, 1, (*shape, 3)).astype(np.float32))


def shaken(network: HED, rng: np.random.Generator) -> HED:
    """In float64, with no parameter at zero or one."""
    network.astype(np.float64)
    for p in network.parameters():
        p.data += rng.normal(0, 0.1, p.shape)
    return network


def test_full_network_has_as_many_parameters_as_the_paper_counts() -> None:
    network = HED(rng=np.random.default_rng(0))
    # 3 x 3 convolutions; gamma and beta; side outputs with a bias; five maps into one with a bias
    counted = 14_710_464 + 2 * 4_224 + (1_472 + 5) + (5 + 1)
    assert sum(p.data.size for p in network.parameters()) == counted == 14_720_395
    with_moments = sum(array.size for array in network.state().values())
    assert with_moments == counted + 2 * 4_224 == 14_728_843
    assert f"{with_moments / 2**20:.1f}" == "14.0"  # Table 5 prints 14.1: docs/book/errata.md
    layers = network.layers(255)
    assert sum(layer.parameters for layer in layers) == counted
    sides = [layer.output[0] for layer in layers[:13]]
    assert sides == [255, 255, 127, 127, 63, 63, 63, 31, 31, 31, 15, 15, 15]


def test_layers_are_those_of_vgg_16_and_its_side_outputs() -> None:
    layers = HED(0.25, rng=np.random.default_rng(0)).layers(31)
    channels = [layer.output[2] for layer in layers]
    assert channels == [16, 16, 32, 32, 64, 64, 64, *[128] * 6, *[1] * 6]
    assert [layer.input[2] for layer in layers] == [3, *channels[:12], 16, 32, 64, 128, 128, 5]
    assert {layer.kind for layer in layers[:13]} == {"conv 3x3, batch norm, ReLU"}
    assert layers[13].kind == layers[18].kind == "conv 1x1"
    assert [(layer.kind, layer.input, layer.output) for layer in layers[16:18]] == [
        ("conv 1x1, bilinear x8", (3, 3, 128), (31, 31, 1)),
        ("conv 1x1, bilinear x16", (1, 1, 128), (31, 31, 1)),
    ]
    plain = HED(0.25, "vgg16", rng=np.random.default_rng(0)).layers(31)
    assert {layer.kind for layer in plain[:13]} == {"conv 3x3, ReLU"}


@pytest.mark.parametrize("factor", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("hw", [(31, 31), (63, 47)])
def test_features_lie_over_the_pixels_they_have_seen(hw: tuple[int, int], factor: int) -> None:
    """A ramp known at the middles of the windows is that ramp at every pixel between them."""
    pixels = [np.arange(n, dtype=np.float64) for n in hw]
    middles = [
        np.array(
            [n[factor * i : factor * (i + 1)].mean() for i in range((len(n) + 1) // factor - 1)]
        )
        for n in pixels
    ]
    rows, columns = np.meshgrid(*middles, indexing="ij")
    enlarged = enlarge(Tensor((3 * rows - 2 * columns + 1)[None, :, :, None]), factor)
    inside = [np.clip(n, m[0], m[-1]) for n, m in zip(pixels, middles, strict=True)]
    rows, columns = np.meshgrid(*inside, indexing="ij")
    np.testing.assert_allclose(
        enlarged.data[0, :, :, 0], 3 * rows - 2 * columns + 1, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("kind", [None, *vgg.PLACES])
def test_outputs_are_the_composition_written_out(
    kind: str | None, rng: np.random.Generator
) -> None:
    """Values and the picture's gradient, from plain operations and weights found by their names."""
    network = shaken(HED(WIDTH, kind, rng=rng), rng)
    w = {name: Tensor(array) for name, array in network.state().items()}

    def block(x: Tensor, name: str) -> Tensor:
        y = ops.conv2d(x, w[f"{name}.conv.w"], pad=1)
        if kind == "vgg16":
            return ops.relu(y + w[f"{name}.conv.b"])
        return ops.relu(ops.batch_norm(y, w[f"{name}.norm.gamma"], w[f"{name}.norm.beta"]))

    def written_out(x: Tensor) -> list[Tensor]:
        if kind is not None:
            x = ((x + 1.0) / 2.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        maps, i = [], 0
        for k, layers in enumerate((2, 2, 3, 3, 3)):
            for _ in range(layers):
                x = block(x, f"encoder.{i}")
                i += 1
            side = ops.conv2d(x, w[f"sides.{k}.w"]) + w[f"sides.{k}.b"]
            maps.append(enlarge(side, 2**k))
            x = ops.max_pool2d(x, 2) if k < 4 else x
        return [*maps, ops.conv2d(ops.concatenate(maps), w["fuse.w"]) + w["fuse.b"]]

    def outcome(run: Callable[[Tensor], list[Tensor]]) -> tuple[np.ndarray, np.ndarray | None]:
        leaf = Tensor(x, requires_grad=True)
        y = ops.concatenate(run(leaf))
        y.backward(gy)
        return y.data, leaf.grad

    x, gy = rng.uniform(-1, 1, (3, 31, 47, 3)), rng.standard_normal((3, 31, 47, 6))
    ours, theirs = outcome(network.outputs), outcome(written_out)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)
    with no_grad():
        np.testing.assert_array_equal(network(Tensor(x)).data[..., 0], ours[0][..., 5])


def test_the_prediction_starts_as_the_mean_of_the_side_outputs(rng: np.random.Generator) -> None:
    network = HED(WIDTH, rng=rng)
    x = pictures(rng, 2, 31, 31)
    assert not any(y.data.any() for y in network.outputs(x))
    for side in network.sides:
        side.w.data[...] = rng.standard_normal(side.w.shape)
    *maps, fused = (y.data for y in network.outputs(x))
    assert fused.shape == (2, 31, 31, 1)
    assert fused.dtype == np.float32
    assert fused.min() < 0 < fused.max()  # no ReLU comes last
    np.testing.assert_allclose(fused, np.mean(maps, 0), rtol=1e-5, atol=1e-5)


def test_other_networks_have_the_one_output(rng: np.random.Generator) -> None:
    for name in set(NETWORKS) - {"hed"}:
        network = build(name, depths=(1,), width=WIDTH, rng=rng).eval()
        x = pictures(rng, 1, 7, 7)
        (output,) = network.outputs(x)
        np.testing.assert_array_equal(output.data, network(x).data)


def test_the_loss_is_on_all_six_maps(tmp_path: Path, rng: np.random.Generator) -> None:
    make_dataset(tmp_path / "data", rng)
    config = TrainConfig(
        data=tmp_path / "data",
        network="hed",
        width=WIDTH,
        patch=31,
        batch=2,
        steps=1,
        loss="cross-entropy",
    )
    trained = train(config, tmp_path / "run").part("network")
    header, row = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    # every logit starts at zero, so that every probability is a half
    loss = dict(zip(header.split(","), row.split(","), strict=True))["loss"]
    assert float(loss) == pytest.approx(6 * math.log(2), rel=1e-5)
    assert all(trained[f"sides.{k}.b"] != 0 for k in range(5))


def test_state_goes_from_network_to_network(rng: np.random.Generator) -> None:
    ours, theirs = (build("hed", width=WIDTH, rng=rng) for _ in range(2))
    x = pictures(rng, 2, 31, 31)
    ours(x)  # moves the running statistics
    theirs.load_state(ours.state())
    np.testing.assert_array_equal(ours.eval()(x).data, theirs.eval()(x).data)
    with pytest.raises(UserError, match="another architecture"):
        build("hed", width=WIDTH, pretrained="vgg16", rng=rng).load_state(ours.state())


@pytest.mark.parametrize(("side", "near"), [(32, "31 or 47"), (15, "31"), (256, "255 or 271")])
def test_wrong_side_names_the_nearest(side: int, near: str, rng: np.random.Generator) -> None:
    network = HED(WIDTH, rng=rng)
    for refused in (network.check_side, network.layers, lambda s: network(pictures(rng, 1, 31, s))):
        with pytest.raises(UserError, match=f"{near}$"):
            refused(side)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"network": "hed", "width": -1.0}, "not -1$"),
        (
            {"network": "hed", "depths": (1, 2)},
            r"depths \(1, 2\) or choose the network spiral or unet",
        ),
        ({"network": "hed", "connection": "sum"}, "choose the network spiral"),
        ({"network": "hed", "pretrained": "vgg19"}, "'vgg19': choose one of vgg16, vgg16_bn"),
        ({"network": "unet", "pretrained": "vgg16"}, "choose the network hed"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        build(**options, rng=np.random.default_rng(0))


def test_describe_takes_it_as_one_module() -> None:
    description = json.loads(command("describe", "hed", "--json").stdout)
    assert description["parameters"] == 14_720_395
    (module,) = description["modules"]
    assert module["name"] == "hed"
    assert [layer["name"] for layer in module["layers"][12:]] == [
        "encoder.12",
        *(f"sides.{k}" for k in range(5)),
        "fuse",
    ]
    assert description["sizes"] == module["sizes"] == [255, 127, 63, 31, 15]
    table = command("describe", "hed").stdout
    assert "14,720,395" in table
    assert "sides of the stages: 255 127 63 31 15" in map(str.rstrip, table.splitlines())


def test_macs_are_those_of_plain_counting() -> None:
    convolutions = sum(
        9 * ci * co * n**2
        for n, channels in (
            (31, (3, 16, 16)),
            (15, (16, 32, 32)),
            (7, (32, 64, 64, 64)),
            (3, (64, 128, 128, 128)),
            (1, (128, 128, 128, 128)),
        )
        for ci, co in pairwise(channels)
    )
    sides = 31**2 * 16 + 15**2 * 32 + 7**2 * 64 + 3**2 * 128 + 1 * 128
    bilinear = 15**2 * 4**2 + 7**2 * 8**2 + 3**2 * 16**2 + 1 * 32**2
    description = describe("hed", width=0.25, side=31)
    assert description.macs == convolutions + sides + bilinear + 31**2 * 5


def test_train_evaluate_and_detect(tmp_path: Path, rng: np.random.Generator) -> None:
    dataset, run, out = make_dataset(tmp_path / "data", rng), tmp_path / "run", tmp_path / "out"
    words = ["train", dataset, "--val", dataset, "--out", run, *TRAINING]
    assert command(*words, "--steps", 3).exit_code == 0
    network = load_network(run)
    assert isinstance(network, HED)
    assert network.pretrained is None
    assert command(*words, "--steps", 5, "--resume").exit_code == 0
    scores = json.loads(command("evaluate", run, dataset, "--json").stdout)
    assert len(scores["photos"]) == 3
    result = command("detect", run, dataset / "images", "--out", out, "--json")
    assert all(Path(photo["mask"]).is_file() for photo in json.loads(result.stdout)["photos"])
