"""The whole library checked: what ``minispiral gradcheck`` runs."""

from collections.abc import Callable, Sequence
from traceback import extract_tb
from typing import Any

from minispiral.device import choose
from minispiral.errors import UserError
from minispiral.gradcheck.check import Check
from minispiral.gradcheck.registry import CHECKS
from minispiral.gradcheck.report import Problem, Report


def select(names: Sequence[str]) -> list[Check]:
    """The checks of these functions, or by their full names; all of them for no names.

    Raises `UserError` for a name that none has.
    """
    for name in names:
        if not any(name in (check.name, check.subject) for check in CHECKS):
            known = ", ".join(dict.fromkeys(check.subject for check in CHECKS))
            raise UserError(f"there is no check of {name!r}; choose from {known}")
    return [c for c in CHECKS if not names or c.name in names or c.subject in names]


def check_library(
    names: Sequence[str] = (),
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
    device: str = "cpu",
) -> list[Report]:
    """Check these functions of the library, or all: operations first, whole networks last.

    Once one has failed, what is built of it is not searched element by element any more.
    ``progress`` is told the name of each check, how many are done, and of how many. ``device`` is
    that of `minispiral.device.choose`. Raises `UserError` for a name that does not exist, and for a
    device that is not there.
    """
    computing = choose(device)
    chosen = select(names)
    reports: list[Report] = []
    for done, check in enumerate(chosen):
        if progress is not None:
            progress(check.name, done, len(chosen))
        options: dict[str, Any] = {"device": computing}
        if done and not all(report.passed for report in reports):
            options["elements"] = 0
        with computing.in_use():
            reports.append(_report(check, seed, options))
    if progress is not None:
        progress("", len(chosen), len(chosen))
    return reports


def _report(check: Check, seed: int, options: dict[str, Any]) -> Report:
    """Where a function does not even run, that is the problem."""
    try:
        return check.run(seed, **options)
    except Exception as error:
        frame = extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__} in {frame.name}: {error}"
        problem = Problem("runs", message)
        return Report(check.name, "none", exact=True, tolerance=0.0, problems=[problem])
