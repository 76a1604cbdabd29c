"""The checks of `python -m bench gpu`, tried on the CPU."""

import numpy as np
import pytest

from bench.gpu import checks, targets
from bench.gpu.cases import cases
from bench.gpu.first import kernels
from bench.gpu.session import RequestFailed
from bench.tests.direct import open_directly


def test_the_checks_run_every_kernel_there_is(executor, rng, monkeypatch):
    """Of all cases those that launch some kernel with least to do, and some others."""
    seed = int(rng.integers(1 << 32))
    least = {one.case for one in kernels.smallest(seed).values()}
    chosen = least | set(rng.choice(len(cases()), 30).tolist())
    monkeypatch.setattr(checks, "cases", lambda: [cases()[i] for i in sorted(chosen)])
    found = checks.measure(open_directly("checks"), seed, rounds=1)
    wrong = [row for row in found["cases"] if not checks.passed(row)]
    assert found["passed"], (seed, wrong)
    assert found["kernels_not_run"] == []
    assert targets.wrong(found) == 0


def test_every_case_has_a_name_of_its_own():
    assert len({(case.name, case.precision) for case in cases()}) == len(cases())


def test_a_group_that_loses_workers_leaves_out_no_cases_but_its_own():
    """Also one that is slow to compile and never does."""
    lost, slow = "few channels conv2d", "tensor cores conv2d_input_grad"
    tries = {lost: checks.MOST_LOST, slow: checks.MOST_ERRORS}

    class Lost:
        def ask(self, **request):
            group = cases()[request["case"]].group
            if group in tries:
                raise RequestFailed("no answer", "line 1", lost=group == lost)
            return {"share": 0.1, "kernels": []}

    shares = []
    found = checks.measure(Lost(), 0, 2, lambda item, found, share: shares.append(share))
    assert len(shares) == len(cases())
    rows = list(zip(found["cases"], cases(), strict=True))
    for group in {case.group for case in cases()}:
        of = [row for row, case in rows if case.group == group]
        tried = [row for row in of if "error" in row or row["share"] is not None]
        assert len(tried) == tries.get(group, len(of))
    assert all(row["traceback"] == "line 1" for row in found["cases"] if "error" in row)


def test_a_wrong_kernel_is_told_and_the_others_go_on(executor, monkeypatch):
    exactly = executor.launch

    def noisy(kernel, grid, block, arguments):
        exactly(kernel, grid, block, arguments)
        if kernel.expression == "sigmoid_of<float>":
            arguments[-1].memory[...] *= np.float32(1.001)
        if kernel.expression == "max_pool2d<double>":
            raise RuntimeError("illegal address")

    monkeypatch.setattr(executor, "launch", noisy)
    chosen = [case for case in cases() if case.name in ("sigmoid", "max_pool2d", "moments")]
    monkeypatch.setattr(checks, "cases", lambda: chosen)
    found = checks.measure(open_directly("checks"), seed=0, rounds=2)
    rows = {(row["name"], row["precision"]): row for row in found["cases"]}
    assert not found["passed"]
    wrong = {key for key, row in rows.items() if not checks.passed(row)}
    assert wrong == {("sigmoid", "float32"), ("max_pool2d", "float64")}
    assert 1e-5 < rows["sigmoid", "float32"]["share"] * checks.TOLERANCES["float32"] < 1e-2
    assert rows["max_pool2d", "float64"]["error"] == "RuntimeError: illegal address"
    assert "adam<float>" in found["kernels_not_run"]
    assert targets.wrong(found) == 2 + len(found["kernels_not_run"])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_an_infinite_error(value):
    assert checks._largest(np.array([1.0, value]), np.ones(2)) == np.inf
    assert checks._largest(np.ones(2), np.ones(3)) == np.inf
