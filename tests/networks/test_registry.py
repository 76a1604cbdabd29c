"""What every registered network answers, and what follows from registering one."""

from collections.abc import Callable

import numpy as np
import pytest

from minispiral import networks
from minispiral.errors import UserError
from minispiral.gradcheck.networks import networks as checks
from minispiral.networks import NETWORKS, Network, build
from minispiral.networks.describe import describe
from minispiral.networks.table1 import check_width
from minispiral.nn import Conv2d, Module
from minispiral.tensor import Tensor, no_grad

EVERY = pytest.mark.parametrize("name", NETWORKS)


def small(name: str, rng: np.random.Generator) -> Network:
    """In evaluation mode, with no parameter at zero."""
    depths = {} if "depths" in NETWORKS[name].inapplicable else {"depths": (1, 3, 2)}
    network = build(name, **depths, width=0.05, rng=rng).eval()
    for p in network.parameters():
        p.data += rng.normal(0, 0.1, p.shape).astype(np.float32)
    return network


@EVERY
def test_description_has_the_shapes_of_a_forward_pass(
    name: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = small(name, rng)
    side = 4 * network.unit - 1
    seen: dict[Module, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    call: Callable[[Module, Tensor], Tensor] = Module.__call__

    def recording(module: Module, x: Tensor) -> Tensor:
        y = call(module, x)
        seen[module] = x.shape[1:], y.shape[1:]
        return y

    monkeypatch.setattr(Module, "__call__", recording)
    with no_grad():
        network(Tensor(rng.uniform(-1, 1, (1, side, side, 3)).astype(np.float32)))
    named = {prefix.removesuffix("."): module for prefix, module in network.modules()}
    layers = network.layers(side)
    for layer in layers:
        assert seen[named[layer.name]] == (layer.input, layer.output), layer.name
        assert layer.kind == str(named[layer.name])
    inside = [part for layer in layers for _, part in named[layer.name].modules()]
    assert {part for part in named.values() if isinstance(part, Conv2d)} <= set(inside)
    assert sum(layer.parameters for layer in layers) == sum(
        p.data.size for p in network.parameters()
    )


@EVERY
def test_logits_are_made_of_the_titled_maps(name: str, rng: np.random.Generator) -> None:
    network = small(name, rng)
    side = 2 * network.unit - 1
    x = Tensor(rng.uniform(-1, 1, (2, side, side, 3)).astype(np.float32))
    with no_grad():
        logits = network(x).data
        np.testing.assert_array_equal(network.outputs(x)[-1].data, logits)
        if not network.map_titles:
            for made in (lambda: network.maps(x), lambda: network.logits([])):
                with pytest.raises(NotImplementedError, match="makes no maps"):
                    made()
            return
        maps = network.maps(x)
        assert len(maps) == len(network.map_titles)
        assert all(one.shape == (2, side, side, 1) for one in maps)
        np.testing.assert_array_equal(network.logits(maps).data, logits)


@EVERY
def test_options_that_do_not_apply_are_refused_with_the_reason(
    name: str, rng: np.random.Generator
) -> None:
    others = {"depths": (1, 2), "connection": "sum", "pretrained": "vgg16"}
    for option, reason in NETWORKS[name].inapplicable.items():
        with pytest.raises(UserError, match=f"{reason}: leave out the {option}") as refused:
            build(name, **{option: others[option]}, rng=rng)
        takers = str(refused.value).partition("choose the network ")[2].split(" or ")
        assert takers == [n for n in NETWORKS if option not in NETWORKS[n].inapplicable]


def test_an_unknown_name_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(UserError, match="choose one of spiral, unet, wide-unet, hed"):
        build("spyral", rng=rng)


def test_registering_a_network_is_enough(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    class Thresholds(Network):
        """One convolution."""

        name = "thresholds"
        unit = 1
        inapplicable = dict.fromkeys(("depths", "connection", "pretrained"), "It has none")

        def __init__(self, width: float, *, rng: np.random.Generator) -> None:
            super().__init__()
            check_width(width)
            self.conv = Conv2d(3, 1, 3, rng, pad=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x)

    monkeypatch.setitem(NETWORKS, "thresholds", Thresholds)
    assert isinstance(networks.build("thresholds", rng=rng), Thresholds)
    description = describe("thresholds", side=5)
    assert [module.name for module in description.modules] == ["thresholds"]
    assert description.macs == 9 * 3 * 25
    assert description.sizes == [5]
    [check] = [check for check in checks() if check.subject == "thresholds"]
    assert check.run().passed
