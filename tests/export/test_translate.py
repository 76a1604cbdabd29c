"""Networks as ONNX graphs: onnxruntime against our own engine, and what the graphs hold."""

from copy import deepcopy

import numpy as np
import onnx
import pytest

from minispiral import ops
from minispiral.errors import UserError
from minispiral.export.table import TABLE
from minispiral.export.translate import model_of, translate
from minispiral.networks import Network, build
from minispiral.networks.describe import describe
from minispiral.nn import BatchNorm, Conv2d, ConvNormReLU
from minispiral.tensor import Power, Tensor
from tests.export.models import lively, model, noise, probabilities, run_model, spiral

NETWORKS = {
    "concat": ("spiral", {"connection": "concat"}),
    "sum": ("spiral", {"connection": "sum"}),
    "none": ("spiral", {"connection": "none"}),
    "unet": ("unet", {}),
    "wide-unet": ("wide-unet", {}),
    "hed": ("hed", {}),
    "vgg16": ("hed", {"pretrained": "vgg16"}),
    "vgg16_bn": ("hed", {"pretrained": "vgg16_bn"}),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest, rng: np.random.Generator) -> Network:
    name, options = NETWORKS[request.param]
    options = {**options, "width": rng.uniform(0.02, 0.06)}
    if name != "hed":
        options["depths"] = tuple(int(d) for d in rng.integers(1, 5, rng.integers(1, 5)))
    print(name, options)
    return lively(build(name, rng=rng, **options), rng)


def allowed(network: Network, x: np.ndarray) -> float:
    """1e-5 or, if that is more, a few times what float32 costs the network itself."""
    exact = probabilities(deepcopy(network).astype(np.float64), x.astype(np.float64))
    return max(1e-5, 4 * float(np.abs(probabilities(network, x) - exact).max()))


def test_the_model_gives_the_probabilities_of_the_network(network, rng) -> None:
    content = model(network)
    onnx.checker.check_model(content, full_check=True)
    for batch in (1, 3):
        x = noise(rng, network, batch)
        expected = probabilities(network, x)
        assert np.ptp(expected) > 1e-3
        assert np.abs(run_model(content, x) - expected).max() <= allowed(network, x)


def test_the_deepest_module(rng) -> None:
    network = spiral(rng, depths=(7,))
    x = noise(rng, network, 1)
    difference = run_model(model(network), x) - probabilities(network, x)
    assert np.abs(difference).max() <= allowed(network, x)


def test_pixels_are_scaled_in_the_model_as_they_are_here(network, rng) -> None:
    pixels = rng.integers(0, 256, noise(rng, network).shape, np.uint8)
    x = (pixels / np.float32(127.5) - 1).astype(np.float32)
    np.testing.assert_array_equal(
        run_model(model(network, uint8=True), pixels), run_model(model(network), x)
    )


def test_the_numbers_in_the_graph_are_the_parameters_but_for_what_folding_removes(network) -> None:
    graph = translate(network)
    scales = sum(m.gamma.data.size for _, m in network.modules() if isinstance(m, BatchNorm))
    parameters = sum(layer.parameters for layer in network.layers(2 * network.unit - 1))
    assert graph.parameters == parameters - scales

    stored = {
        x.name: onnx.numpy_helper.to_array(x) for x in model_of(graph, False, {}).graph.initializer
    }
    of_parameters = {name: x for name, x in stored.items() if name in network.state()}
    assert sum(x.size for x in of_parameters.values()) == graph.parameters
    others = sum(
        x.size for name, x in stored.items() if name not in of_parameters and x.dtype == "f4"
    )
    bilinear = sum((2 * 2**k) ** 2 for k in range(1, 5)) if network.name == "hed" else 0
    assert others == bilinear + (6 if getattr(network, "pretrained", None) else 0)


def test_describe_counts_the_parameters_of_the_graph(rng) -> None:
    options = {"depths": (2, 1), "connection": "sum", "width": 0.05}
    graph = translate(build("spiral", rng=rng, **options))
    listed = describe("spiral", **options)
    blocks = [x for m in listed.modules for x in m.layers if "batch norm" in x.kind]
    assert graph.parameters == listed.parameters - sum(x.output[2] for x in blocks)


def test_a_side_that_does_not_come_out_fails_instead_of_giving_a_smaller_map(rng) -> None:
    content = model(spiral(rng, depths=(2,), connection="none"))
    x = rng.uniform(-1, 1, (1, 11, 12, 3)).astype(np.float32)
    assert run_model(content, x[:, :, :11]).shape == (1, 11, 11)
    with pytest.raises(Exception, match="Reshape"):
        run_model(content, x)


class Odd(Network):
    """What the networks of the library do not do."""

    name, unit = "odd", 2

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self.block = ConvNormReLU(3, 4, rng, size=3, stride=1, pad=1)
        self.block.fused = False  # three plain operations
        self.enlarge = Conv2d(4, 2, 4, rng, stride=2, pad=1, transpose=True)
        self.last = Conv2d(12, 1, 1, rng)

    def forward(self, x: Tensor) -> Tensor:
        y = self.block(x)
        y = ops.concatenate([ops.max_pool2d(self.enlarge(y), 2), y - 0.25])
        y = ops.concatenate([y, ops.log(1 + ops.sigmoid(y)) / (2 + ops.relu(y))])
        return self.last(ops.crop(ops.edge_pad(-y, 1, 3), 2, x.shape[1:3]))


class Squared(Odd):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) ** 2


def test_every_entry_of_the_table_is_right(rng, monkeypatch) -> None:
    used = set()

    def told(function, entry):
        def entry_and_note(*arguments):
            used.add(function)
            return entry(*arguments)

        return entry_and_note

    for function, entry in TABLE.items():
        monkeypatch.setitem(TABLE, function, told(function, entry))
    others = build("hed", width=0.02, pretrained="vgg16", rng=rng), spiral(rng, depths=(1, 1))
    for network in (lively(Odd(rng), rng), *others):
        x = noise(rng, network)
        difference = run_model(model(network), x) - probabilities(network, x)
        assert np.abs(difference).max() <= allowed(network, x)
    assert used == set(TABLE)


def test_a_function_without_an_entry_is_named_and_ones_own_entry_is_taken(rng, monkeypatch) -> None:
    network = lively(Squared(rng), rng)
    with pytest.raises(UserError, match=r"^the network computes Power, .* add one"):
        translate(network)

    def power(graph, function, x):
        return graph.node("Pow", x, graph.constant(np.array(function.exponent)))

    monkeypatch.setitem(TABLE, Power, power)
    x = noise(rng, network)
    difference = run_model(model(network), x) - probabilities(network, x)
    assert np.abs(difference).max() <= allowed(network, x)


def test_translating_leaves_the_network_as_it_was(rng) -> None:
    network = spiral(rng, depths=(1,)).train()
    before = {name: array.copy() for name, array in network.state().items()}
    translate(network)
    assert network.training
    for name, array in network.state().items():
        np.testing.assert_array_equal(array, before[name])
