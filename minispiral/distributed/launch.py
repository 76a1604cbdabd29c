"""Whether this process is one of several that mpiexec or srun started."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

# What the launchers tell a process: its number, and how many there are. Those of mpiexec come
# first: it may use srun to reach its machines.
_VARIABLES = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),  # MVAPICH
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI, Cray, Flux, srun --mpi=pmi2
)
_SRUN = "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"  # a batch script has the first one alone


class Launched(NamedTuple):
    """What the launcher says: this is process ``rank`` of ``size``."""

    rank: int = 0
    size: int = 1
    launcher: str = ""
    by_open_mpi: bool = False


def launched(environment: Mapping[str, str] = os.environ) -> Launched:
    """What the launcher says of this process; one of one if there is none."""
    by_srun = _numbers(environment, *_SRUN)
    for names in _VARIABLES:
        if numbers := _numbers(environment, *names):
            launcher = "srun" if numbers == by_srun else "mpiexec"
            return Launched(*numbers, launcher, names[0].startswith("OMPI"))
    # A process that has a terminal was not started by srun, but by the shell of srun --pty.
    if by_srun and not (sys.stdin and sys.stdin.isatty()):
        return Launched(*by_srun, "srun")
    return Launched()


def end_job(exit_code: int) -> None:
    """Let mpiexec end all processes without the help of MPI, where it can be told to.

    Open MPI's and most others end them when one fails. MPICH's waits for it to join, unless it is
    told in the words of PMI-1, which MPI_Abort uses too.
    """
    if descriptor := os.environ.get("PMI_FD"):
        with suppress(OSError, ValueError):
            os.write(int(descriptor), f"cmd=abort exitcode={exit_code}\n".encode())


def _numbers(environment: Mapping[str, str], rank: str, size: str) -> tuple[int, int] | None:
    """The values of the two variables, if both are numbers."""
    values = environment.get(rank, ""), environment.get(size, "")
    return (int(values[0]), int(values[1])) if all(map(str.isdecimal, values)) else None
