"""Every case of the ONNX test suites that is ours passes or is listed."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from minispiral.tensor import Tensor
from tests.engine.onnx_backend import LISTED_FOR, OURS, OUT_OF_SCOPE, Case, array, cases, main
from tests.engine.onnx_operators import OPERATORS
from tests.engine.onnx_values import OutOfScope


def named(name: str) -> Case:
    [case] = [case for case in cases() if case.name == name]
    return case


@pytest.mark.parametrize("operator", sorted(OURS))
def test_what_can_run_passes(operator: str) -> None:
    passed = 0
    for case in cases():
        if case.is_ours and operator in case.operators:
            try:
                case.check()
                passed += 1
            except OutOfScope:
                continue
            except Exception as error:
                error.add_note(f"in {case.name} of the suite {case.suite}")
                raise
    assert passed


@pytest.mark.skipif(
    not onnx.__version__.startswith(f"{LISTED_FOR}."), reason=f"the list is for onnx {LISTED_FOR}"
)
def test_what_cannot_run_is_listed_and_nothing_else_is() -> None:
    refused = {}
    for case in cases():
        if case.is_ours:
            try:
                case.check()
            except OutOfScope as reason:
                refused[case.name] = str(reason)
    assert refused == OUT_OF_SCOPE


def test_a_wrong_number_fails() -> None:
    case = named("test_relu")
    [(inputs, [expected])] = case.data
    y = array(expected)
    for wrong in (y * 1.01, y[:1], y.astype(np.float64)):
        with pytest.raises(AssertionError):
            replace(case, data=[(inputs, [wrong])]).check()


def test_an_unknown_attribute_is_not_ignored() -> None:
    x = Tensor(np.ones((1, 1, 3, 3), np.float32))
    with pytest.raises(TypeError, match="spiral"):
        OPERATORS["Conv"](x, x, spiral=1)


def test_the_command_counts_every_case() -> None:
    result = CliRunner().invoke(main, ["--json"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["failed"] == 0
    assert found["cases"] == len(cases())
    assert found["ours"] == found["passed"] + found["out_of_scope"]
    assert found["out_of_scope"] == sum(found["reasons"].values())
    for name in ("passed", "failed", "out_of_scope"):
        assert found[name] == sum(row[name] for row in found["rows"])
    table = CliRunner().invoke(main, []).stdout
    assert f"{found['passed']} of {found['passed']} passed" in table
    assert all(reason in table for reason in found["reasons"])
