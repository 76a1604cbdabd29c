"""Every planted bug is caught, by the gradient checks named with it or by a property test."""

import contextlib

import pytest

from minispiral import ops
from minispiral.errors import UserError
from minispiral.gradcheck import check_library
from minispiral.gradcheck.library import select
from tests.bugs import BUGS, report
from tests.bugs.bug import Bug, Edit
from tests.engine import test_layer_properties, test_properties
from tests.small import command

SHOWN = [bug for bug in BUGS.values() if bug.checks]
HIDDEN = [bug for bug in BUGS.values() if bug.test]  # no gradient shows them


def test_nothing_fails_without_a_bug() -> None:
    names = {name for bug in SHOWN for name in bug.checks}
    assert failures(tuple(names)) == {}


def failures(names: tuple[str, ...]) -> dict[str, str]:
    """What each check that fails says."""
    return {check.name: str(check) for check in check_library(names) if not check.passed}


@pytest.mark.parametrize("bug", SHOWN, ids=lambda bug: bug.name)
def test_gradcheck_catches(bug: Bug) -> None:
    with bug.planted():
        failed = failures(bug.checks)
    assert failed.keys() == set(bug.checks)
    assert bug.clue
    assert bug.clue in failed[bug.checks[0]]


@pytest.mark.parametrize("bug", HIDDEN, ids=lambda bug: bug.name)
def test_a_property_catches(bug: Bug) -> None:
    assert not bug.checks
    (test,) = (
        vars(module)[bug.test]
        for module in (test_properties, test_layer_properties)
        if bug.test in vars(module)
    )
    with bug.planted(), pytest.raises(AssertionError):
        test()


def test_the_command_names_the_check_that_fails() -> None:
    with BUGS["log-clipped"].planted():
        result = command("gradcheck", "sigmoid", "log")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0] == "log: FAILED"
    assert command("gradcheck", "sigmoid", "log").exit_code == 0


def test_the_report_says_what_caught_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "CHECKS", select(["f1", "cross-entropy"]))
    row = report.caught("cross-entropy-summed", all_tests=False)
    assert (row["exit_code"], row["check"], row["tests"]) == (1, "cross-entropy", None)
    assert row["problem"].startswith("values: the output is not what its oracle gives")
    missed = {**row, "bug": "another", "exit_code": 0}
    assert report.uncaught([row, missed]) == ["another"]
    assert report.uncaught([row, {**missed, "tests": ["test_of_it"]}]) == []
    assert report.table([row, missed]).row_count == 2


def test_a_planted_bug_is_gone_afterwards() -> None:
    code = ops.Log.backward.__code__
    with contextlib.suppress(UserError), BUGS["log-remembers"].planted():
        assert ops.Log.backward.__code__ is not code
        raise UserError("any error")
    assert ops.Log.backward.__code__ is code
    assert ops.Log.backward.__defaults__ is None


@pytest.mark.parametrize("old", ["gy * self.x", "self"])
def test_a_bug_that_the_code_has_moved_away_from_is_refused(old: str) -> None:
    stale = Bug("stale", "Its line is not there.", (Edit(ops.Log.backward, old, ""),))
    with pytest.raises(ValueError, match=r"Log\.backward contains"), stale.planted():
        pass
