"""Who started this process, and what is said where the processes cannot find each other."""

import io
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from minispiral.distributed.launch import Launched, launched
from tests.small import ROOT

# As found in processes that they started: MPICH 5.0, Open MPI 4.1, Slurm 22.05.
BATCH = {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "ENVIRONMENT": "BATCH"}
STEP = {**BATCH, "SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Launched()),
        ({"PMI_RANK": "1", "PMI_SIZE": "3"}, Launched(1, 3, "mpiexec")),
        ({"PMI_RANK": "0", "PMI_SIZE": "1"}, Launched(0, 1, "mpiexec")),
        ({"PMI_RANK": "", "PMI_SIZE": "3"}, Launched()),
        (
            {"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "5", **STEP},
            Launched(2, 5, "mpiexec", by_open_mpi=True),
        ),
        (BATCH, Launched()),
        (STEP, Launched(3, 4, "srun")),
        ({**STEP, "PMI_RANK": "3", "PMI_SIZE": "4"}, Launched(3, 4, "srun")),
        # mpiexec of MPICH starts its processes through one task of srun on each machine.
        (
            {**BATCH, "SLURM_STEP_NUM_TASKS": "1", "PMI_RANK": "1", "PMI_SIZE": "2"},
            Launched(1, 2, "mpiexec"),
        ),
    ],
)
def test_the_launcher_is_known_by_its_variables(
    environment: dict[str, str], expected: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert launched(environment) == expected


def test_a_shell_that_srun_gave_a_terminal_starts_single_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert launched(STEP) == Launched()


MINISPIRAL = """
import sys
if {hidden}:
    sys.modules["mpi4py"] = None
from minispiral.cli import job, main
job.GRACE = 0.1
main(sys.argv[1:], prog_name="minispiral")
"""
WORDS = ["train", "data", "--out", "run"]
OPEN_MPI = {"OMPI_COMM_WORLD_RANK": "{rank}", "OMPI_COMM_WORLD_SIZE": "2"}
MPICH = {"PMI_RANK": "{rank}", "PMI_SIZE": "2"}
SRUN = {"SLURM_PROCID": "{rank}", "SLURM_STEP_NUM_TASKS": "2"}
ALONE = "each is alone"


@pytest.mark.parametrize(
    ("variables", "hidden", "expected"),
    [
        (MPICH, True, "started by mpiexec, but mpi4py cannot be imported"),
        (MPICH, False, ALONE),
        (OPEN_MPI, False, ALONE),
        (SRUN, False, ALONE),
    ],
)
def test_processes_that_cannot_find_each_other_refuse(
    variables: dict[str, str], hidden: bool, expected: str, tmp_path: Path
) -> None:
    if not hidden and not vendor().startswith("MPICH"):
        pytest.skip("the MPI of mpi4py is not MPICH, or is not here")
    told = []
    for rank in range(2):
        reader, writer = os.pipe()
        environment = {name: text.format(rank=rank) for name, text in variables.items()}
        if hidden:
            environment["PMI_FD"] = str(writer)
        process = subprocess.Popen(
            [sys.executable, "-c", MINISPIRAL.format(hidden=hidden), *WORDS],
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[writer],
            text=True,
        )
        os.close(writer)
        told.append((process, reader))
    for rank, (process, reader) in enumerate(told):
        messages = process.communicate()[1]
        with os.fdopen(reader) as pipe:
            assert pipe.read() == ("cmd=abort exitcode=1\n" if hidden else "")
        assert process.returncode == 1
        if rank and variables is SRUN:  # each ends alone: the first one has said it
            assert messages == ""
            continue
        where, _, said = messages.rpartition("minispiral: ")
        assert where.startswith("In process 1 of 2, on ") if rank else where == ""
        assert expected in said
        assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@cache
def vendor() -> str:
    """The name of mpi4py's MPI; empty if there is none."""
    program = "import mpi4py; mpi4py.rc.initialize = False; from mpi4py.MPI import get_vendor"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; print(get_vendor()[0])"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout
