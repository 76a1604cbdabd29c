"""Starting several processes with the mpiexec that the extra `mpi` installs."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from tests.small import ROOT


class Launch(Protocol):
    """What ``mpiexec -n R python words...`` printed in a folder, and its exit code."""

    def __call__(
        self, processes: int, *words: object, cwd: Path = ROOT
    ) -> "subprocess.CompletedProcess[str]": ...


def mpiexec() -> str | None:
    """The path of mpiexec; None where it or mpi4py is not installed."""
    if importlib.util.find_spec("mpi4py") is None:
        return None
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def launcher() -> Launch | None:
    """A function that starts processes; None where mpiexec or mpi4py is not installed."""
    program = mpiexec()
    if program is None:
        return None

    def launch(
        processes: int, *words: object, cwd: Path = ROOT
    ) -> "subprocess.CompletedProcess[str]":
        command = [program, "-n", str(processes), sys.executable, *map(str, words)]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)

    return launch
