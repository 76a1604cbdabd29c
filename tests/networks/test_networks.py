"""Spiral-Net: sizes, parameters, connections; layers and their state."""

import numpy as np
import pytest

from minispiral import ops
from minispiral.errors import UserError
from minispiral.networks import PRESETS, SpiralNet, build, parse_depths
from minispiral.nn import BatchNorm, ConvNormReLU
from minispiral.tensor import Tensor, no_grad


def test_full_network_has_the_parameters_of_table_5() -> None:
    network = build("spiral", rng=np.random.default_rng(0))
    assert sum(p.data.size for p in network.parameters()) == 41_625_942
    layers = network.layers(255)
    assert sum(layer.parameters for layer in layers) == 41_625_942
    deepest = [layer for layer in layers if layer.name.startswith("stages.6.")]
    sides = [255, *(layer.output[0] for layer in deepest)]
    assert sides == [255, 127, 63, 31, 15, 7, 3, 1, 3, 7, 15, 31, 63, 127, 255]


def test_macs_are_those_of_plain_counting() -> None:
    layers = SpiralNet((2,), rng=np.random.default_rng(0)).layers(7)
    counted = 9 * (3 * 3 * 3 * 64 + 1 * 64 * 128 + 1 * 128 * 64 + 3 * 3 * 64 * 1) + 7 * 7
    assert sum(layer.macs for layer in layers) == counted


def test_fused_network_equals_the_plain_one(rng) -> None:
    network = SpiralNet((1, 2), width=0.1, rng=rng).astype(np.float64)
    x = rng.uniform(-1, 1, (2, 11, 15, 3))
    gy = rng.standard_normal((2, 11, 15, 1))
    outcomes = []
    for fused in (True, False):
        for _, module in network.modules():
            if isinstance(module, ConvNormReLU):
                module.fused = fused
        for p in network.parameters():
            p.grad = None
        y = network(Tensor(x))
        y.backward(gy)
        outcomes.append([y.data, *(p.grad for p in network.parameters())])
    for ours, theirs in zip(*outcomes, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["spiral", "unet", "hed"])
def test_evaluation_has_the_same_bits_whether_a_gradient_is_wanted_or_not(rng, kind) -> None:
    network = build(kind, width=0.1, rng=rng)
    for _, module in network.modules():
        if isinstance(module, BatchNorm):
            module.momentum = 1  # the running moments become those of one batch
    for p in network.parameters():  # some begin at zero
        p.data += 0.1 * rng.standard_normal(p.shape).astype(np.float32)
    x = Tensor(rng.uniform(-1, 1, (2, 255, 255, 3)).astype(np.float32))
    network(x)
    network.eval()
    with no_grad():
        result = network(x).data
    assert np.ptp(result) > 0
    assert np.array_equal(result, network(x).data)


def test_evaluation_uses_running_statistics(rng) -> None:
    norm = BatchNorm(3).astype(np.float64)
    x = rng.normal([5, -2, 0], [1, 2, 3], (50, 4, 4, 3))
    for _ in range(200):
        norm(Tensor(x))
    np.testing.assert_allclose(norm.running_mean, x.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(norm.running_var, x.var((0, 1, 2), ddof=1), rtol=1e-6)
    norm.eval()
    before = norm.running_mean.copy()
    single = norm(Tensor(x[:1])).data
    expected = (x[:1] - norm.running_mean) / np.sqrt(norm.running_var + 1e-5)
    np.testing.assert_allclose(single, expected, rtol=1e-10)
    np.testing.assert_array_equal(norm.running_mean, before)


def test_batch_norm_refuses_a_single_value() -> None:
    with pytest.raises(UserError, match="single value"):
        SpiralNet((1,), rng=np.random.default_rng(0))(Tensor(np.zeros((1, 3, 3, 3), np.float32)))


def test_maps_are_not_negative_and_sizes_return(rng) -> None:
    network = SpiralNet((1, 2), width=0.1, rng=rng)
    x = Tensor(rng.uniform(-1, 1, (2, 15, 11, 3)).astype(np.float32))
    with no_grad():
        assert all(m.data.min() >= 0 and m.shape == (2, 15, 11, 1) for m in network.maps(x))
        logits = network(x)
    assert logits.shape == (2, 15, 11, 1)
    assert logits.dtype == np.float32


def test_module_sees_the_maps_before_it(rng) -> None:
    """By connection: the channels of each module's first layer and of the last layer."""
    seen = {"concat": [3, 1, 2, 3], "sum": [3, 1, 1, 1], "none": [3, 1, 1, 1]}
    for connection, channels in seen.items():
        network = SpiralNet((1, 1, 1), connection, 0.1, rng=rng)
        first = [stage.encoder[0].conv.w.shape[2] for stage in network.stages]
        assert [*first, network.mix.w.shape[2]] == channels
    network = SpiralNet((1, 1, 1), "sum", 0.1, rng=rng)
    x = Tensor(rng.uniform(-1, 1, (1, 5, 5, 3)).astype(np.float32))
    total = sum(m.data for m in network.maps(x))
    expected = ops.conv2d(Tensor(total), network.mix.w).data + network.mix.b.data
    np.testing.assert_allclose(network(x).data, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("side", "near"),
    [(256, "255 or 383"), (10, "255"), (128, "255"), (127, "255"), (512, "511 or 639")],
)
def test_wrong_side_names_the_nearest(side: int, near: str) -> None:
    network = SpiralNet((7, 1), width=0.02, rng=np.random.default_rng(0))
    with pytest.raises(UserError, match=f"{near}$"):
        network.check_side(side)
    network.check_side(255)


@pytest.mark.parametrize(
    ("text", "depths"),
    [
        ("1-7", (1, 2, 3, 4, 5, 6, 7)),
        ("7-1", (7, 6, 5, 4, 3, 2, 1)),
        ("1,3, 5", (1, 3, 5)),
        ("4", (4,)),
        ("triangle-7", (1, 3, 5, 7, 6, 4, 2)),
        ("uniform-3", (3,) * 7),
    ],
)
def test_depths_are_read(text: str, depths: tuple[int, ...]) -> None:
    assert parse_depths(text) == depths


@pytest.mark.parametrize("text", ["", "0-3", "8", "a", "1-", "1,,2", "1-2-3"])
def test_wrong_depths_are_refused(text: str) -> None:
    with pytest.raises(UserError):
        parse_depths(text)


def test_presets_are_those_of_table_2() -> None:
    assert PRESETS["triangle"] == (1, 2, 3, 4, 3, 2, 1)
    assert len([name for name in PRESETS if name.startswith("uniform")]) == 7


def test_state_goes_from_network_to_network(rng) -> None:
    ours, theirs = (SpiralNet((1, 2), width=0.1, rng=rng) for _ in range(2))
    x = Tensor(rng.uniform(-1, 1, (2, 7, 7, 3)).astype(np.float32))
    ours(x)  # moves the running statistics
    theirs.load_state(ours.state())
    np.testing.assert_array_equal(ours.eval()(x).data, theirs.eval()(x).data)


def test_state_of_another_architecture_is_refused(rng) -> None:
    network, other = SpiralNet((1, 2), width=0.1, rng=rng), SpiralNet((1, 2), width=0.2, rng=rng)
    kept = {name: array.copy() for name, array in network.state().items()}
    with pytest.raises(UserError, match="shape"):
        network.load_state(other.state())
    deeper = SpiralNet((1, 2, 1), width=0.1, rng=rng).state()
    with pytest.raises(UserError, match="another architecture"):
        network.load_state(deeper)
    with pytest.raises(UserError, match="lack"):
        network.load_state({})
    for name, array in network.state().items():
        np.testing.assert_array_equal(array, kept[name])
