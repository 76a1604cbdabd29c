"""Adam over named parameters, against its formula written out once more."""

import numpy as np
import pytest

from minispiral.errors import UserError
from minispiral.nn import Parameter
from minispiral.optim import Adam


def parameters(rng: np.random.Generator) -> dict[str, Parameter]:
    return {"a": Parameter(rng.standard_normal((3, 5))), "b": Parameter(rng.standard_normal(7))}


def test_five_steps_are_those_of_the_formula(rng) -> None:
    named = parameters(rng)
    adam = Adam(named.items(), lr=0.01, beta1=0.8, beta2=0.95, eps=1e-6)
    expected = {name: p.data.copy() for name, p in named.items()}
    m = {name: 0.0 for name in named}
    v = {name: 0.0 for name in named}
    for step in range(1, 6):
        for name, p in named.items():
            p.grad = rng.standard_normal(p.shape)
            m[name] = 0.8 * m[name] + 0.2 * p.grad
            v[name] = 0.95 * v[name] + 0.05 * p.grad**2
            m_hat, v_hat = m[name] / (1 - 0.8**step), v[name] / (1 - 0.95**step)
            expected[name] = expected[name] - 0.01 * m_hat / (np.sqrt(v_hat) + 1e-6)
        adam.step()
    for name, p in named.items():
        np.testing.assert_allclose(p.data, expected[name], rtol=1e-12)


def test_two_parameters_of_one_name_are_refused(rng) -> None:
    """Of two modules with like names, one would not be trained."""
    one, other = parameters(rng), parameters(rng)
    with pytest.raises(ValueError, match="two parameters are called a:"):
        Adam([*one.items(), *other.items()])
    adam = Adam([*one.items(), *one.items(), ("again", one["a"])])
    assert adam.parameters == one


def test_a_parameter_without_gradient_stays(rng) -> None:
    named = parameters(rng)
    adam = Adam(named.items())
    named["a"].grad = np.ones((3, 5))
    kept = named["b"].data.copy()
    adam.step()
    np.testing.assert_array_equal(named["b"].data, kept)
    adam.zero_grad()
    assert named["a"].grad is None


def test_state_goes_on_where_it_was(rng) -> None:
    ours = parameters(rng)
    first = Adam(ours.items(), lr=0.1)
    gradients = [{name: rng.standard_normal(p.shape) for name, p in ours.items()} for _ in range(4)]

    def take(adam: Adam, steps: slice) -> None:
        for gradient in gradients[steps]:
            for name, p in adam.parameters.items():
                p.grad = gradient[name]
            adam.step()

    take(first, slice(0, 2))
    theirs = {name: Parameter(p.data.copy()) for name, p in ours.items()}
    second = Adam(theirs.items(), lr=0.1)
    second.load_state({name: array.copy() for name, array in first.state().items()})
    take(first, slice(2, 4))
    take(second, slice(2, 4))
    for name, p in ours.items():
        np.testing.assert_array_equal(p.data, theirs[name].data)


def test_state_of_another_network_is_refused(rng) -> None:
    adam = Adam(parameters(rng).items())
    state = adam.state()
    with pytest.raises(UserError, match=r"m\.a.*another network"):
        adam.load_state({**state, "m.a": np.zeros((5, 3))})
    with pytest.raises(UserError, match="nothing for step"):
        adam.load_state({name: array for name, array in state.items() if name != "step"})
