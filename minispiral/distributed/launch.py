"""Whether this process is one of several that mpiexec or srun started, and which MPI it speaks."""

import os
from collections.abc import Mapping
from typing import NamedTuple

EXTRA = "pip install 'minispiral[mpi]'"

# What the launchers tell a process: its number, and how many there are.
_VARIABLES = (
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),  # MVAPICH
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),  # srun
)


class Launched(NamedTuple):
    """What the launcher says: this is process ``rank`` of ``size``."""

    rank: int = 0
    size: int = 1


def launched(environment: Mapping[str, str] = os.environ) -> Launched:
    """What the launcher says of this process; one of one if there is none."""
    for rank, size in _VARIABLES:
        if environment.get(rank, "").isdecimal() and environment.get(size, "").isdecimal():
            return Launched(int(environment[rank]), int(environment[size]))
    return Launched()
