"""What catches each bug: ``minispiral gradcheck`` and the property tests, bug by bug."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from textwrap import shorten
from typing import Any

from click.testing import CliRunner
from rich.box import SIMPLE_HEAD
from rich.table import Table

from minispiral.cli import main
from minispiral.gradcheck.registry import CHECKS
from minispiral.kernels.cpu import parallel
from minispiral.networks import NETWORKS
from tests.bugs import BUGS

ROOT = Path(__file__).resolve().parents[2]
LARGE = "side 255"
PROCESSES = 2


def measure(
    names: Iterable[str], all_tests: bool, progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A row for no bug at all and one for each of ``names``: what caught it first and how much did.

    The property tests are run for bugs that no gradient shows, or with ``all_tests`` for all.
    """
    rows = []
    with ProcessPoolExecutor(
        PROCESSES, get_context("spawn"), parallel.set_threads, (1,)
    ) as processes:
        for row in processes.map(partial(caught, all_tests=all_tests), ["", *names]):
            progress(row["bug"])
            rows.append(row)
    return rows


def caught(name: str, all_tests: bool) -> dict[str, Any]:
    """Plant the bug of this name, or none for "", and see what fails.

    A network that fails takes longer than one that passes. So networks are checked only if none of
    their parts fails, and large ones only if no small one does.
    """
    began = time.perf_counter()
    parts = [check.name for check in CHECKS if check.subject not in NETWORKS]
    all_but_large = [check.name for check in CHECKS if LARGE not in check.name]
    with BUGS[name].planted() if name else nullcontext():
        for names in (parts, all_but_large, []):
            row = gradcheck(names)
            if row["exit_code"]:
                break
    wanted = all_tests or not name or BUGS[name].test
    row["tests"] = failing_tests(name) if wanted else None
    return {"bug": name, **row, "seconds": time.perf_counter() - began}


def gradcheck(names: list[str]) -> dict[str, Any]:
    """The exit code of ``minispiral gradcheck``, the first check that failed, and how many did."""
    command = ["gradcheck", *names, "--json"]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    failed = [check for check in json.loads(result.stdout)["checks"] if not check["passed"]]
    problems = [problem for check in failed for problem in check["problems"]]
    return {
        "exit_code": result.exit_code,
        "check": failed[0]["name"] if failed else "",
        "problem": "{rule}: {message}".format_map(problems[0]) if problems else "",
        "failed": len(failed),
    }


def failing_tests(name: str) -> list[str]:
    """The property tests that fail with this bug, run in a fresh process."""
    tests = sorted(str(path) for path in ROOT.glob("tests/*/test_*properties.py"))
    options = ["-q", "--tb=no", "-p", "no:cacheprovider", "-p", "tests.bugs.planted"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=ROOT,
        env={**os.environ, "MINISPIRAL_BUG": name, "MINISPIRAL_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"pytest ended with {done.returncode}: {done.stdout}{done.stderr}")
    return re.findall(r"^FAILED \S+::(\w+)", done.stdout, re.MULTILINE)


def uncaught(rows: Iterable[dict[str, Any]]) -> list[str]:
    """The bugs that nothing caught."""
    return [row["bug"] for row in rows if row["bug"] and not row["exit_code"] and not row["tests"]]


def table(rows: Iterable[dict[str, Any]]) -> Table:
    """The rows for a person to read."""
    shown = Table(box=SIMPLE_HEAD)
    shown.add_column("bug", no_wrap=True)
    for heading in ("exit code", "checks", "tests"):
        shown.add_column(heading, justify="right")
    shown.add_column("caught first by")
    for row in rows:
        tests = row["tests"] or []
        shown.add_row(
            row["bug"] or "none",
            str(row["exit_code"]),
            str(row["failed"]),
            "" if row["tests"] is None else str(len(tests)),
            shorten(f"{row['check']}: {row['problem']}" if row["check"] else ", ".join(tests), 150),
        )
    return shown
