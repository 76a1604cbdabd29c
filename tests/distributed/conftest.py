"""Starting several processes with the mpiexec that the extra `mpi` installs."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.small import ROOT

Launch = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def mpiexec() -> Launch:
    """A function: what ``mpiexec -n R python words...`` printed, and its exit code."""
    beside = Path(sys.executable).with_name("mpiexec")
    program = str(beside) if beside.exists() else shutil.which("mpiexec")
    if program is None or importlib.util.find_spec("mpi4py") is None:
        pytest.skip("mpiexec or mpi4py is not installed here (the extra `mpi`)")

    def launch(processes: int, *words: object) -> "subprocess.CompletedProcess[str]":
        command = [program, "-n", str(processes), sys.executable, *map(str, words)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)

    return launch
