"""A backward pass refuses what was changed since the forward pass, and says which."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minispiral import ops
from minispiral.nn import Conv2d, ConvNormReLU, Module, Parameter
from minispiral.optim import Adam
from minispiral.tensor import Tensor


class Two(Module):
    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self.first = ConvNormReLU(2, 3, rng)
        self.last = Conv2d(3, 1, 1, rng)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x))


def step(network: Module, adam: Adam) -> None:
    adam.step()


def load(network: Module, adam: Adam) -> None:
    network.load_state({name: array * 2 for name, array in network.state().items()})


def assign(network: Module, adam: Adam) -> None:
    for p in network.parameters():
        p.data = p.data - np.float32(0.1)


def subtract_in_place(network: Module, adam: Adam) -> None:
    for p in network.parameters():
        p.data -= np.float32(0.1)


def convert(network: Module, adam: Adam) -> None:
    network.astype(np.float64)


@pytest.mark.parametrize("change", [step, load, assign, subtract_in_place, convert])
def test_a_change_between_two_losses_is_found(
    rng: np.random.Generator, change: Callable[[Module, Adam], None]
) -> None:
    network = Two(rng)
    adam = Adam(network.named_parameters())
    x = Tensor(rng.random((2, 9, 9, 2), np.float32))
    one, other = ops.sum(network(x)), ops.sum(network(x) * 2.0)
    one.backward()
    change(network, adam)
    with pytest.raises(RuntimeError, match=r"last\.\w.* was changed after .* before backward"):
        other.backward()
    ops.sum(network(Tensor(x.data.astype(network.parameters()[0].dtype)))).backward()  # afresh


def test_an_input_that_was_replaced_is_found(rng: np.random.Generator) -> None:
    x: Any = Tensor(rng.random(3), requires_grad=True)
    y = ops.sum(x * x)
    x.data = x.data + 1
    with pytest.raises(RuntimeError, match=r"input 0 of shape \(3,\) was changed after Multiply"):
        y.backward()


def test_a_parameter_without_gradient_may_change(rng: np.random.Generator) -> None:
    """Adam steps those that have a gradient and leaves the others, whose tape is still right."""
    used, unused = Parameter(rng.random(3)), Parameter(rng.random(3))
    adam = Adam([("used", used), ("unused", unused)])
    waiting = ops.sum(unused * 2.0)
    ops.sum(used * used).backward()
    adam.step()
    waiting.backward()
    np.testing.assert_array_equal(unused.grad, [2, 2, 2])
