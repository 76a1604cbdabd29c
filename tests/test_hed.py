"""HED: parameters, alignment, side outputs, VGG-16's weights, and its way through the commands."""

import json
import math
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from small import command, files_of, make_dataset, refusal

from bench import vgg
from minispiral import ops, pretrained
from minispiral.checkpoint import load, load_network
from minispiral.describe import describe
from minispiral.errors import UserError
from minispiral.networks import HED, NETWORKS, build
from minispiral.networks.hed import enlarge
from minispiral.progress import Reporter
from minispiral.tensor import Tensor, no_grad
from minispiral.train import TrainConfig, Training, train

GOLDEN = Path(__file__).parent / "golden" / "torch_vgg.json"
BOTH = pytest.mark.parametrize("name", vgg.PLACES)
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
    assert f"{with_moments / 2**20:.2f}" == "14.05"  # 14.1 in Table 5
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
    enlarged = enlarge(Tensor((3 * rows - 2 * columns + 1)[None, :, :, None]), factor, hw)
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
        h, v = x.shape[1:3]
        if kind is not None:
            x = ((x + 1.0) / 2.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        maps, i = [], 0
        for k, layers in enumerate((2, 2, 3, 3, 3)):
            for _ in range(layers):
                x = block(x, f"encoder.{i}")
                i += 1
            side = ops.conv2d(x, w[f"sides.{k}.w"]) + w[f"sides.{k}.b"]
            maps.append(enlarge(side, 2**k, (h, v)))
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
        ({"network": "hed", "depths": (1, 2)}, r"the depths \[1, 2\] do not apply"),
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
    told = refusal(command(*words, "--init", save(tmp_path / "vgg.npz"), "--resume"))
    assert "--init was not given and is now" in told


# VGG-16's weights


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
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))[name]
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
    from bench import torch_vgg

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
    start = Training(config, run, Reporter()).network.state()
    conv = vgg.weights(name, WIDTH)[f"features.{vgg.PLACES[name][12]}.weight"]
    np.testing.assert_array_equal(start["encoder.12.conv.w"], conv.transpose(2, 3, 1, 0))

    words = ["train", dataset, "--out", run, *TRAINING]
    assert command(*words, "--init", file, "--steps", 2).exit_code == 0
    file.unlink()
    assert command(*words, "--init", file, "--steps", 3, "--resume").exit_code == 0
    assert command(*words, "--steps", 4, "--resume").exit_code == 0
    told = refusal(command(*words, "--init", tmp_path / "other.npz", "--resume"))
    assert "--init was" in told
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
        case "integers":
            save(npz, **{"features.0.weight": wrong.astype(int)})
    return npz


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("missing", "There is no file"),
        ("folder", "cannot be read"),
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
        ("deeper", "holds features.30.weight, which vgg16 has not"),
        ("not finite", "gives features.0.weight values that are no finite numbers"),
        ("integers", "gives features.0.weight values that are no finite numbers"),
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
    words = ["train", dataset, "--out", tmp_path / "run", "--init", "vgg.npz"]
    told = refusal(command(*words, "--network", "unet"))
    assert "--init vgg.npz was given with --network unet" in told
    assert not (tmp_path / "run").exists()
