"""The world that this process belongs to."""

import os
from functools import cache

from minispiral.distributed.launch import EXTRA, launched
from minispiral.distributed.world import World
from minispiral.errors import UserError
from minispiral.kernels.cpu import parallel


@cache
def world() -> World:
    """All processes that ``mpiexec`` or ``srun`` started with this one; else this one alone.

    The processor's cores are divided among the processes of a machine, unless
    ``MINISPIRAL_THREADS`` says how many threads each has.

    Raises `UserError` where mpi4py is missing or speaks to another MPI than the launcher's, with
    which each process would take itself for the only one.
    """
    expected = launched()
    if expected.size == 1:
        return World()
    try:
        from minispiral.distributed.mpi import everyone, library
    except ImportError as error:
        raise UserError(
            f"{expected.size} processes were started by mpiexec, but mpi4py cannot be imported "
            f"({error}), without which each would train on its own; install the extra `mpi` "
            f"({EXTRA})"
        ) from error
    found = everyone()
    if found.size != expected.size:
        raise UserError(
            f"{expected.size} processes were started, but to the MPI of mpi4py ({library()}) each "
            "is alone: mpiexec belongs to another MPI; use the mpiexec of that one, or build "
            "mpi4py with the MPI of this one"
        )
    _divide_cores(found)
    return found


def _divide_cores(found: World) -> None:
    """Give each process of this machine its share of the cores that they have in common."""
    bound = parallel.available_cores() < (os.cpu_count() or 1)
    if not bound and "MINISPIRAL_THREADS" not in os.environ:
        parallel.set_threads(max(1, parallel.available_cores() // found.machine.size))
