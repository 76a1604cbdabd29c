"""The gradient checker: what it finds in functions and modules, and what it says."""

import numpy as np
import pytest

from minispiral import nn, ops
from minispiral.errors import UserError
from minispiral.gradcheck import Problem, gradcheck
from minispiral.losses import cross_entropy
from minispiral.networks import SpiralNet
from minispiral.tensor import Function, Tensor, no_grad


class Cube(Function):
    """Its subclasses spoil ``backward`` in one way each."""

    def forward(self, x):
        self.x = x
        return x**3

    def backward(self, gy):
        return 3 * self.x**2 * gy


class Aliases(Cube):
    def backward(self, gy):
        self.x[...] = 3 * self.x**2 * gy
        return self.x


class ChangesGy(Cube):
    def backward(self, gy):
        gy *= 3 * self.x**2
        return gy


class SpoilsOutput(Cube):
    def forward(self, x):
        self.y = super().forward(x)
        return self.y

    def backward(self, gy):
        self.y /= self.x
        return 3 * self.y * gy


class ReusesBuffer(Cube):
    buffer = np.empty((4, 3))

    def backward(self, gy):
        return np.multiply(3 * self.x**2, gy, out=self.buffer)


class Forgets(Cube):
    calls = 0

    def backward(self, gy):
        Forgets.calls += 1
        return super().backward(gy) * (1 + 1e-15 * Forgets.calls)


class Clips(Cube):
    def backward(self, gy):
        return np.clip(super().backward(gy), -1, 1)


class Decays(Cube):
    def backward(self, gy):
        return super().backward(gy) + 1e-3 * self.x


class Overflows(Cube):
    def backward(self, gy):
        return super().backward(gy) + np.where(self.x == self.x[0], np.nan, 0)


class Single(Cube):
    def backward(self, gy):
        return super().backward(gy).astype(np.float32)


class HalfWrong(Cube):
    """Wrong in column 2 alone, by a factor of 1.5."""

    def backward(self, gy):
        gx = super().backward(gy)
        gx[:, 2] *= 1.5
        return gx


def rules(report) -> set[str]:
    return {problem.rule for problem in report.problems}


@pytest.mark.parametrize(
    ("function", "rule"),
    [
        (Aliases, "inputs stay"),
        (Aliases, "no aliases"),
        (ReusesBuffer, "no aliases"),
        (SpoilsOutput, "output stays"),
        (ChangesGy, "gy stays"),
        (Forgets, "same bits"),
        (Clips, "linear in gy"),
        (Decays, "zero gy"),
        (Overflows, "finite"),
        (Single, "float64"),
    ],
)
@pytest.mark.parametrize("exact", [True, False])
def test_each_rule_is_kept_by_pseudo_gradients_too(function, rule, exact, rng, monkeypatch):
    monkeypatch.setattr(function, "exact", exact)
    x = rng.uniform(0.5, 2, (4, 3))
    assert gradcheck(lambda x: Cube()(x), [x]).passed
    report = gradcheck(lambda x: function()(x), [x])
    assert not report.passed
    assert rule in rules(report)
    assert report.exact is exact
    assert ("derivative" in rules(report)) <= exact


@pytest.mark.parametrize("method", ["complex step", "differences"])
def test_a_wrong_element_is_named_with_both_values(method, rng):
    x = rng.uniform(0.5, 2, (5, 4))
    report = gradcheck(lambda x: HalfWrong()(x), [x], name="cube", method=method)
    assert rules(report) == {"derivative"}
    assert report.input == "x"
    assert report.index is not None
    assert report.index[1] == 2
    assert report.analytic == pytest.approx(1.5 * report.numeric, rel=1e-6)
    assert report.error > 0.1
    text = str(report)
    assert "5 of 20 elements are wrong; all at 2 of axis 1 (0 to 3)" in text
    assert "each is 1.5 times what it should be" in text
    assert f"x{list(report.index)}: back-propagation" in text
    assert text.startswith("cube: FAILED\n  derivative: the gradient of x")
    assert text.index("each is 1.5 times") < text.index("along a direction of x")


def test_a_reused_buffer_and_a_spoilt_output_are_named_and_blamed_for_nothing_else(rng):
    x = rng.uniform(0.5, 2, (4, 3))
    report = gradcheck(lambda x: ReusesBuffer()(x), [x])
    assert [problem.message for problem in report.problems] == [
        "the gradient of x is a buffer that the next pass overwrites"
    ]
    report = gradcheck(lambda x: SpoilsOutput()(x) + 1, [x], oracle=lambda x: x**3 + 1)
    assert [problem.message for problem in report.problems] == [
        "SpoilsOutput.backward modified its output"
    ]


@pytest.mark.parametrize("where", ["gradient", "slope", "values"])
def test_float32_inside_is_called_that(where, rng):
    def single(x: np.ndarray) -> np.ndarray:
        return x.astype(np.float32).astype(np.float64)

    class Rounds(Cube):
        def forward(self, x):
            y = super().forward(x)
            return y + (single(x.real) - x.real if where == "values" else 0)

        def backward(self, gy):
            slope = 3 * self.x**2
            slope = single(slope) if where == "slope" else slope
            return single(slope * gy) if where == "gradient" else slope * gy

    first = {"gradient": "linear in gy", "slope": "derivative", "values": "values"}[where]
    messages = []
    for _ in range(5):  # along a direction, what rounding did to the elements may cancel
        x = rng.uniform(0.5, 2, (4, 3))
        report = gradcheck(lambda x: Rounds()(x), [x], oracle=lambda x: x**3)
        assert report.passed or report.problems[0].rule == first
        messages += [problem.message for problem in report.problems if problem.rule == first]
        assert "each is 1 times" not in str(report)
    assert any(message.endswith("looks like float32 precision inside") for message in messages)


def test_half_a_gradient_is_not_called_float32(rng):
    report = gradcheck(lambda x: HalfWrong()(x), [rng.uniform(0.5, 2, (5, 4))])
    assert "float32" not in str(report)


def test_buffers_that_move_in_evaluation_are_found(rng, monkeypatch):
    network = SpiralNet((1, 2), width=0.06, rng=rng).astype(np.float64)
    x = rng.uniform(-1, 1, (2, 11, 7, 3))

    def moves(self, values):
        self.running_var *= 1 + 1 / values

    monkeypatch.setattr(nn.BatchNorm, "check", moves)
    assert gradcheck(network, [x], directions=1).passed
    report = gradcheck(network.eval(), [x], directions=1)
    first = "stages.0.encoder.0.norm.running_var moved in evaluation mode (and 5 more)"
    assert report.problems[0] == Problem("buffers stay", first)


def test_two_gradients_in_one_memory_are_found(rng):
    class Shares(Function):
        def forward(self, a, b):
            return a + b

        def backward(self, gy):
            return gy, gy

    report = gradcheck(lambda a, b: Shares()(a, b), [rng.random(3), rng.random(3)])
    assert "no aliases" in rules(report)
    assert "two gradients of Shares.backward share memory" in str(report)


def test_a_gradient_that_never_arrives_is_found(rng):
    def forgets(x, w):
        with no_grad():
            scaled = x * w
        return scaled + x

    report = gradcheck(forgets, {"x": rng.random(4), "w": rng.random(4)})
    assert rules(report) == {"derivative"}
    assert {e.input for e in report.elements if e.error > 1e-10} == {"x", "w"}
    assert all(e.analytic == 0 for e in report.elements if e.input == "w")


def test_a_gradient_of_zero_is_no_excuse(rng):
    class Nothing(Cube):
        def backward(self, gy):
            return 0 * gy

    assert not gradcheck(lambda x: Nothing()(x) * 1e-12, [rng.random(5)]).passed


def test_values_are_held_against_the_oracle(rng):
    x = rng.random((3, 4))
    assert gradcheck(lambda x: Cube()(x), [x], oracle=lambda x: x**3).passed
    report = gradcheck(lambda x: Cube()(x), [x], oracle=lambda x: x**3 + (x == x[1, 2]))
    assert rules(report) == {"values"}
    assert "1 of 12 elements, worst at [1, 2]" in str(report)
    assert rules(gradcheck(lambda x: Cube()(x), [x], oracle=lambda x: x[0])) == {"values"}


# Modules and users


def test_a_module_gives_its_parameters_and_gets_them_back(rng):
    network = SpiralNet((1, 2), width=0.06, rng=rng).astype(np.float64)
    x = rng.uniform(-1, 1, (2, 11, 7, 3))
    network(Tensor(x))  # running statistics that are no zeros and ones
    kept = {name: array.copy() for name, array in network.state().items()}
    arrays = {name: id(array) for name, array in network.state().items()}
    network.parameters()[0].grad = grad = np.ones(3)
    report = gradcheck(network, [x], directions=1)
    assert report.passed, report
    assert report.directions == 1 + len(network.parameters())
    assert network.parameters()[0].grad is grad
    for name, array in network.state().items():
        np.testing.assert_array_equal(array, kept[name])
        assert id(array) == arrays[name]
    mask = rng.random((2, 11, 7, 1)) < 0.3
    report = gradcheck(lambda x: cross_entropy(network(x), mask), [x], module=network, jointly=True)
    assert report.passed, report
    assert report.directions == 3


def test_a_wrong_parameter_is_found_in_a_joint_direction(rng, monkeypatch):
    network = SpiralNet((1, 2), width=0.06, rng=rng).astype(np.float64)
    original = ops.Conv2d.backward

    def backward(self, gy):
        gx, gw = original(self, gy)
        return gx, None if gw is None else gw * (1 + 1e-6)

    monkeypatch.setattr(ops.Conv2d, "backward", backward)
    report = gradcheck(network, [rng.uniform(-1, 1, (2, 11, 7, 3))], jointly=True)
    assert not report.passed
    assert report.input.endswith(".w")


def test_of_many_inputs_at_fault_the_last_are_found_in_few_evaluations(rng):
    evaluations = 0

    def chain(*ws):
        nonlocal evaluations
        evaluations += 1
        y = ws[0]
        for k, w in enumerate(ws[1:], start=1):
            y = y + w
            if k == 90:  # which spoils the gradients of 0 to 90
                y = HalfWrong()(y)
        return y

    inputs = {f"w{k}": rng.uniform(0, 0.01, (2, 4)) for k in range(120)}
    report = gradcheck(chain, inputs, jointly=True, directions=10, elements=24)
    assert {e.input for e in report.elements} == {f"w{k}" for k in range(83, 91)}
    assert len(report.elements) == 24
    assert "these 8 are the last at fault" in str(report)
    assert evaluations < 90
    two = list(inputs.values())[:2]
    few = gradcheck(lambda a, b: HalfWrong()(a) + b, two, jointly=True)
    assert {e.input for e in few.elements} == {"a"}
    assert "last at fault" not in str(few)


def test_an_input_at_fault_is_named_though_no_element_compared_is_wrong(rng):
    class WrongOnce(Cube):
        def backward(self, gy):
            gx = super().backward(gy)
            gx[7, 7] *= 2
            return gx

    x = rng.uniform(0.5, 2, (9, 9))
    report = gradcheck(lambda x: WrongOnce()(x), [x], elements=1)
    assert "the gradient of x (9, 9): wrong along a direction, but at none of 1" in str(report)


def test_inputs_are_named_as_the_function_names_them(rng):
    def named() -> str:
        inputs = [rng.random(3), rng.random(3)]
        return gradcheck(lambda big, small: Cube()(big) + small, inputs).input

    names = {named() for _ in range(10)} - {""}  # there is none where the error is 0
    assert names
    assert names <= {"big", "small"}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([np.ones(3, np.float32)], "x is float32"),
        ([np.ones(3, int)], "x is int"),
        ([np.broadcast_to(np.ones(1), (4,))], "elements of x share memory"),
    ],
)
def test_inputs_that_cannot_be_checked_are_refused(inputs, message):
    with pytest.raises(UserError, match=message):
        gradcheck(lambda x: x * x, inputs)


def test_inputs_that_share_memory_are_refused(rng):
    both = rng.random(6)
    with pytest.raises(UserError, match="a and b share memory"):
        gradcheck(lambda a, b: a * b, [both[:4], both[2:]])
    with pytest.raises(UserError, match=r"float32.*astype"):
        gradcheck(SpiralNet((1,), width=0.1, rng=rng), [rng.random((1, 7, 7, 3))])
    with pytest.raises(UserError, match="expected one Tensor"):
        gradcheck(lambda x: x.data, [both])


def test_random_numbers_are_private_and_follow_the_seed(rng):
    x = rng.random(5)
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    reports = [gradcheck(lambda x: Cube()(x), [x], seed=seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    slopes = [report.analytic for report in reports]
    assert slopes[0] == slopes[1] != slopes[2]
