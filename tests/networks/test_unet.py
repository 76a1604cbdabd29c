"""U-Net: parameters, sizes, skip connections, state, and its way through the commands."""

import json
from pathlib import Path

import numpy as np
import pytest

from minispiral import ops
from minispiral.errors import UserError
from minispiral.networks import SpiralNet, UNet, WideUNet, build
from minispiral.networks.describe import describe
from minispiral.networks.table1 import ENCODER_CHANNELS, scaled
from minispiral.runs.checkpoint import load_network
from minispiral.tensor import Tensor, no_grad
from tests.small import TRAINING, command, make_dataset, refusal

PARAMETERS = {"unet": 23_531_073, "wide-unet": 41_858_207}  # 22.4 and 39.9 in Table 5


def pictures(rng: np.random.Generator, *shape: int) -> Tensor:
    return Tensor(rng.uniform(-1, 1, (*shape, 3)).astype(np.float32))


@pytest.mark.parametrize("name", PARAMETERS)
def test_full_network_has_the_parameters_of_table_5(name: str) -> None:
    network = build(name, rng=np.random.default_rng(0))
    assert sum(p.data.size for p in network.parameters()) == PARAMETERS[name]
    layers = network.layers(255)
    assert sum(layer.parameters for layer in layers) == PARAMETERS[name]
    sides = [layer.output[0] for layer in layers]
    assert sides == [127, 63, 31, 15, 7, 3, 1, 3, 7, 15, 31, 63, 127, 255]


def test_channels_are_those_of_table_1_and_their_skips() -> None:
    layers = UNet(4, width=0.25, rng=np.random.default_rng(0)).layers(31)
    assert [(layer.name, layer.input[2], layer.output[2]) for layer in layers] == [
        ("encoder.0", 3, 16),
        ("encoder.1", 16, 32),
        ("encoder.2", 32, 64),
        ("encoder.3", 64, 128),
        ("decoder.0", 128, 64),
        ("decoder.1", 64 + 64, 32),
        ("decoder.2", 32 + 32, 16),
        ("decoder.3", 16 + 16, 1),
    ]
    assert {layer.kind for layer in layers[4:7]} == {"transposed conv 3x3, batch norm, ReLU"}
    assert layers[7].kind == "transposed conv 3x3"
    assert layers[7].parameters == 9 * 32 + 1


def test_widths_are_rounded() -> None:
    wide = [scaled(channels, 4 / 3) for channels in ENCODER_CHANNELS]
    assert wide == [85, 171, 341, 683, 683, 683, 683]
    layers = WideUNet(2, rng=np.random.default_rng(0)).layers(7)
    assert [layer.output[2] for layer in layers] == [85, 171, 85, 1]


def test_output_is_the_composition_written_out(rng: np.random.Generator) -> None:
    """Values and the picture's gradient, from plain operations and weights found by their names."""
    network = UNet(3, width=0.06, rng=rng).astype(np.float64)
    for p in network.parameters():  # else the shifts and the bias would be zero
        p.data += rng.normal(0, 0.1, p.shape)
    w = {name: Tensor(array) for name, array in network.state().items()}

    def block(x: Tensor, name: str, conv=ops.conv2d) -> Tensor:
        y = conv(x, w[f"{name}.conv.w"], stride=2)
        return ops.relu(ops.batch_norm(y, w[f"{name}.norm.gamma"], w[f"{name}.norm.beta"]))

    def outcome(run, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
        y = run(x)
        y.backward(gy)
        return y.data, x.grad

    def written_out(x: Tensor) -> Tensor:
        e1 = block(x, "encoder.0")
        e2 = block(e1, "encoder.1")
        e3 = block(e2, "encoder.2")
        d3 = block(e3, "decoder.0", ops.conv_transpose2d)
        d2 = block(ops.concatenate([d3, e2]), "decoder.1", ops.conv_transpose2d)
        both = ops.concatenate([d2, e1])
        return ops.conv_transpose2d(both, w["decoder.2.w"], stride=2) + w["decoder.2.b"]

    x, gy = rng.uniform(-1, 1, (2, 15, 23, 3)), rng.standard_normal((2, 15, 23, 1))
    ours, theirs = (outcome(run, Tensor(x, requires_grad=True)) for run in (network, written_out))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-10)


def test_logits_have_both_signs(rng: np.random.Generator) -> None:
    """No ReLU and no batch norm come last."""
    for depth in (1, 2):
        network = UNet(depth, width=0.5, rng=rng)
        with no_grad():
            logits = network(pictures(rng, 2, 15, 11))
        assert logits.shape == (2, 15, 11, 1)
        assert logits.dtype == np.float32
        assert logits.data.min() < 0 < logits.data.max()


def test_state_goes_from_network_to_network(rng: np.random.Generator) -> None:
    ours, theirs = (build("wide-unet", depths=(2,), width=0.1, rng=rng) for _ in range(2))
    x = pictures(rng, 2, 7, 7)
    ours(x)  # moves the running statistics
    theirs.load_state(ours.state())
    np.testing.assert_array_equal(ours.eval()(x).data, theirs.eval()(x).data)
    narrow = build("unet", depths=(2,), width=0.1, rng=rng)
    with pytest.raises(UserError, match="another architecture"):
        narrow.load_state(ours.state())


@pytest.mark.parametrize(("side", "near"), [(16, "15 or 23"), (7, "15"), (24, "23 or 31")])
def test_wrong_side_names_the_nearest(side: int, near: str, rng: np.random.Generator) -> None:
    network = UNet(3, width=0.02, rng=rng)
    for refused in (network.check_side, network.layers, lambda s: network(pictures(rng, 1, 15, s))):
        with pytest.raises(UserError, match=f"{near}$"):
            refused(side)


def test_depth_is_the_largest_of_depths(rng: np.random.Generator) -> None:
    network = build("unet", depths=(1, 3, 2), width=0.02, rng=rng)
    assert network.unit == 8
    assert network.state().keys() == UNet(3, width=0.02, rng=rng).state().keys()


@pytest.mark.parametrize("depths", [(), (0, 3), (8,)])
@pytest.mark.parametrize("name", PARAMETERS)
def test_wrong_depths_are_refused(name: str, depths: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="1 to 7"):
        build(name, depths=depths, rng=np.random.default_rng(0))


@pytest.mark.parametrize("width", [0, -1, float("nan"), 16.5])
def test_wrong_width_is_named_as_it_was_given(width: float) -> None:
    for name in PARAMETERS:
        with pytest.raises(UserError, match=f"not {width:g}$"):
            build(name, depths=(1,), width=width, rng=np.random.default_rng(0))


@pytest.mark.parametrize("name", PARAMETERS)
def test_connection_is_refused(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    words = ["--connection", "sum"]
    assert "choose the network spiral" in refusal(command("describe", name, *words))
    dataset, out = make_dataset(tmp_path / "data", rng), tmp_path / "run"
    told = refusal(command("train", dataset, "--out", out, "--network", name, *words, *TRAINING))
    assert "'sum'" in told
    assert not out.exists()


@pytest.mark.parametrize("name", PARAMETERS)
def test_describe_takes_it_as_one_module(name: str) -> None:
    description = json.loads(command("describe", name, "--json").stdout)
    assert description["network"] == name
    assert description["parameters"] == PARAMETERS[name]
    down = [255, 127, 63, 31, 15, 7, 3, 1]
    assert description["sizes"] == down + down[-2::-1]
    (module,) = description["modules"]
    assert module["name"] == name
    assert len(module["layers"]) == 14
    table = command("describe", name).stdout
    assert f"{PARAMETERS[name]:,}" in table
    assert "sides from the picture to the logits: 255 127 63 31 15 7 3 1 3 7" in table


def test_macs_are_those_of_plain_counting() -> None:
    description = describe("unet", depths=(2,), width=0.25, side=7)
    taps = 9 * (3 * 3 * 3 * 16 + 1 * 16 * 32 + 1 * 32 * 16 + 3 * 3 * (16 + 16) * 1)
    assert description.macs == taps
    spiral = SpiralNet((2,), width=0.25, rng=np.random.default_rng(0)).layers(7)
    # One decoder sees twice the channels, and no 1 x 1 convolution follows.
    assert taps - sum(layer.macs for layer in spiral) == 9 * 3 * 3 * 16 - 7 * 7


@pytest.mark.parametrize("name", PARAMETERS)
def test_train_evaluate_and_detect(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    dataset, run, out = make_dataset(tmp_path / "data", rng), tmp_path / "run", tmp_path / "out"
    words = ["train", dataset, "--val", dataset, "--out", run, "--network", name, *TRAINING]
    assert command(*words).exit_code == 0
    network = load_network(run)
    assert isinstance(network, UNet)
    built = build(name, depths=(1, 2), width=0.06, rng=rng)
    assert [p.shape for p in network.parameters()] == [p.shape for p in built.parameters()]
    assert command(*words, "--steps", 8, "--resume").exit_code == 0
    other = refusal(command(*words, "--network", "spiral", "--steps", 9, "--resume"))
    assert "network" in other

    scores = json.loads(command("evaluate", run, dataset, "--json").stdout)
    assert len(scores["photos"]) == 3
    assert 0 <= scores["f1"] <= 1
    result = command("detect", run, dataset / "images", "--out", out, "--json")
    assert result.exit_code == 0
    assert all(Path(photo["mask"]).is_file() for photo in json.loads(result.stdout)["photos"])
