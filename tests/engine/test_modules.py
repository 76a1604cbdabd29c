"""Parameters are found wherever a module keeps them, and a shared one counts once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minispiral import ops
from minispiral.errors import UserError
from minispiral.nn import BatchNorm, Conv2d, Module, Parameter
from minispiral.optim import Adam
from minispiral.runs.checkpoint import Checkpoint, load, save
from minispiral.tensor import Tensor


def layer(rng: np.random.Generator) -> Conv2d:
    return Conv2d(1, 1, 1, rng)


class Holds(Module):
    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        vars(self).update(attributes)


def test_parameters_are_found_in_lists_tuples_and_dictionaries(rng: np.random.Generator) -> None:
    network = Holds(
        direct=Parameter(np.ones(1)),
        listed=[Parameter(np.ones(1)), layer(rng)],
        tupled=(layer(rng), (Parameter(np.ones(1)),)),
        named={"a": layer(rng), "b": {"c": [Parameter(np.ones(1))]}, 3: Parameter(np.ones(1))},
        other=["text", 1, None],
    )
    assert [name for name, _ in network.named_parameters()] == [
        *("direct", "listed.0", "tupled.1.0", "named.b.c.0", "named.3"),
        *("listed.1.w", "listed.1.b", "tupled.0.w", "tupled.0.b", "named.a.w", "named.a.b"),
    ]
    assert network.state().keys() == dict(network.named_parameters()).keys()
    network.eval()
    assert not any(module.training for _, module in network.modules())


@pytest.mark.parametrize("shared", ["module", "parameter", "in a list"])
def test_what_is_shared_is_listed_stepped_and_saved_once(
    rng: np.random.Generator, tmp_path: Path, shared: str
) -> None:
    def build() -> Holds:
        one = layer(rng)
        if shared == "module":
            return Holds(first=one, second=one, last=layer(rng))
        if shared == "in a list":
            return Holds(stages=[one, one], last=layer(rng))
        other = layer(rng)
        other.w = one.w
        return Holds(first=one, second=other, last=layer(rng))

    network = build()
    ways = {name: p for name, p in network.named_parameters()}
    assert len({id(p) for p in ways.values()}) == len(ways)
    (name, w), *_ = ways.items()
    before = w.data.copy()
    adam = Adam(network.named_parameters(), lr=0.1)
    ops.sum(w).backward()
    adam.step()
    # Near 0.1 nothing is left of w. What counts is its rounding, and that of the step's operations.
    rounding = np.finfo(np.float32).eps * (np.abs(before) + 4 * 0.1)
    assert np.all(np.abs(w.data - (before - 0.1)) <= rounding)

    path = tmp_path / "tied.safetensors"
    tensors = {f"network.{key}": value for key, value in network.state().items()}
    save(path, Checkpoint(1, {}, tensors, {}, {}))
    again = build()
    again.load_state(load(path).part("network"))
    np.testing.assert_array_equal(dict(again.named_parameters())[name].data, w.data)


def test_weights_under_both_names_load_if_they_agree(rng: np.random.Generator) -> None:
    one = layer(rng)
    network = Holds(first=one, second=one)
    w, b = np.full((1, 1, 1, 1), 3.0), np.array([2.0])
    both = {f"{name}.{key}": v for name in ("first", "second") for key, v in (("w", w), ("b", b))}
    network.load_state(both)
    assert one.w.item() == 3
    network.load_state({"second.w": w + 1, "second.b": b})
    assert one.w.item() == 4
    with pytest.raises(UserError, match=r"first\.w and second\.w different values"):
        network.load_state(both | {"second.w": w + 1})
    assert one.w.item() == 4


def test_buffers_of_a_shared_module_count_once() -> None:
    norm = BatchNorm(2)
    network = Holds(a=norm, b=[norm])
    assert list(network.state()) == ["a.gamma", "a.beta", "a.running_mean", "a.running_var"]
    network.load_state(
        {f"{place}.{key}": value for place in ("a", "b.0") for key, value in norm.state().items()}
    )


def test_a_module_may_know_the_one_it_is_in(rng: np.random.Generator) -> None:
    network = Holds(child=layer(rng))
    vars(network.child)["parent"] = network
    assert [name for name, _ in network.named_parameters()] == ["child.w", "child.b"]


@pytest.mark.parametrize("nothing", [[], {}, (), iter(())])
def test_an_optimiser_without_parameters_is_refused(nothing: Any) -> None:
    with pytest.raises(ValueError, match="no parameters"):
        Adam(nothing)


def test_a_parameter_given_twice_to_adam_is_stepped_once() -> None:
    p = Parameter(np.array([1.0]))
    adam = Adam([("a", p), ("b", p)], lr=0.1)
    ops.sum(Tensor(np.array([2.0])) * p).backward()
    adam.step()
    np.testing.assert_allclose(p.data, [0.9])
