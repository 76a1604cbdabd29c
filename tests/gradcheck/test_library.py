"""The whole library checked: everything passes, nothing is left out, and what the command says."""

import importlib
import inspect
import json

import pytest

from minispiral import networks, nn, ops
from minispiral.gradcheck import check_library
from minispiral.gradcheck.registry import CHECKS
from minispiral.losses import LOSSES
from minispiral.tensor import Function, Tensor
from tests.engine.test_imports import MODULES
from tests.small import command, refusal


@pytest.fixture
def seed(rng) -> int:
    return int(rng.integers(2**32))


ON_TAPE = {}  # the functions of each check that ran, by its name


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_the_library_passes_on_fresh_numbers(check, seed):
    report = check.run(seed)
    ON_TAPE[check.name] = report.functions
    assert report.passed, report
    assert report.error <= report.tolerance
    assert report.exact == (report.method != "its own rules")


# Nothing is left out


def concrete(base: type) -> set[type]:
    """The subclasses of ``base`` in the library, save those made to be subclassed."""
    for name in MODULES:
        if not name.endswith("__main__"):
            importlib.import_module(name)
    found, waiting = set(), [base]
    while waiting:
        for cls in waiting.pop().__subclasses__():
            waiting.append(cls)
            if cls.__module__.startswith("minispiral.") and cls.__name__ not in ABSTRACT:
                found.add(cls)
    return found


ABSTRACT = {"PixelLoss", "Network"}


def public_names() -> set[str]:
    """What a user can call: operations, layers, losses and networks."""
    functions = {
        name
        for name, value in vars(ops).items()
        if inspect.isfunction(value) and value.__module__ == ops.__name__ and name[0] != "_"
    }
    layers = {cls.__name__ for cls in concrete(nn.Module) if not issubclass(cls, networks.Network)}
    return functions | layers | set(LOSSES) | set(networks.NETWORKS)


def test_every_public_name_has_a_check():
    assert public_names() <= {check.subject for check in CHECKS}


def test_every_function_is_on_the_tape_of_some_check():
    """Small ones, which run here if they have not above; that takes as long again."""
    small = [check for check in CHECKS if "255" not in check.name]
    on_tape = {name for check in small for name in ON_TAPE.get(check.name) or check.run().functions}
    assert {cls.__name__ for cls in concrete(Function)} <= on_tape


def test_a_new_operation_would_be_missed(monkeypatch):
    def cube(x: Tensor) -> Tensor:
        return x * x * x

    cube.__module__ = ops.__name__
    monkeypatch.setattr(ops, "cube", cube, raising=False)
    assert public_names() - {check.subject for check in CHECKS} == {"cube"}


# The command


def test_the_command_prints_a_row_each():
    result = command("gradcheck", "add", "pseudo-f1")
    assert result.exit_code == 0
    names = [check.name for check in CHECKS if check.subject in {"add", "pseudo-f1"}]
    assert all(name in result.stdout for name in names)
    assert f"{len(names)} of {len(names)} checks passed" in result.stdout
    assert "asymmetry of Eq. 11" in result.stdout


def test_the_command_prints_one_json_object():
    found = json.loads(command("gradcheck", "conv2d", "relu", "--json", "--seed", "5").stdout)
    assert found["passed"]
    assert found["seed"] == 5
    for check in found["checks"]:
        assert check["passed"]
        assert check["kind"] == "exact"
        assert 0 <= check["error"] <= check["tolerance"]
        assert check["method"] in {"complex step", "differences"}


def test_the_command_fails_with_the_worst_first(monkeypatch):
    monkeypatch.setattr(ops.Log, "backward", lambda self, gy: gy / (self.x + 1e-3))
    result = command("gradcheck", "log", "sigmoid")
    assert result.exit_code == 1
    first = "log: FAILED\n  derivative: the gradient of x (3, 7): 21 of 21 elements are wrong"
    assert result.stdout.startswith(first)
    assert result.stderr.splitlines()[-1] == "minispiral: 1 of 2 checks failed, first log."
    found = json.loads(command("gradcheck", "log", "--json").stdout)
    assert not found["passed"]
    [check] = found["checks"]
    assert check["input"] == "x"
    assert check["elements"][0]["index"] == check["index"]


def test_a_function_that_does_not_run_is_a_failure_like_others(monkeypatch):
    def backward(self, gy):
        raise ValueError("shapes differ")

    monkeypatch.setattr(ops.Log, "backward", backward)
    result = command("gradcheck", "log", "sigmoid")
    assert result.exit_code == 1
    assert result.stdout.startswith("log: FAILED\n  runs: ValueError in backward: shapes differ")
    assert "1 of 2 checks passed" in result.stdout


def test_the_command_refuses_what_there_is_not():
    assert "no check of 'softmax'" in refusal(command("gradcheck", "softmax"))
    assert "device cuda" in refusal(command("gradcheck", "--device", "cuda"))


def test_what_rests_on_a_failure_is_not_searched(monkeypatch):
    monkeypatch.setattr(ops.ReLU, "backward", lambda self, gy: 2 * gy * (self.x > 0))
    first, *others = check_library(["relu", "ConvNormReLU plain, training"])
    assert first.elements
    assert all(not report.passed and not report.elements for report in others)
