"""The world that this process belongs to."""

import os
import warnings
from functools import cache

from minispiral.distributed.launch import Launched, launched
from minispiral.distributed.world import World
from minispiral.errors import UserError

EXTRA = "pip install 'minispiral[mpi]'"


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
        import mpi4py

        mpi4py.rc.initialize, mpi4py.rc.finalize = False, True  # not before it is known to fit
        from minispiral.distributed import mpi
    except (ImportError, RuntimeError) as error:  # RuntimeError: it finds no MPI
        reason = " ".join(str(error).split())
        raise UserError(
            f"{expected.size} processes were started by {expected.launcher}, but mpi4py cannot be "
            f"imported ({reason}), without which each would work on its own; install the extra "
            f"`mpi` ({EXTRA})"
        ) from error
    if expected.by_open_mpi and not mpi.is_open_mpi():  # whose start would end the process
        raise _misfit(expected, mpi.library())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of an MPI that does not fit
        found = mpi.everyone()
    if found.size != expected.size:
        raise _misfit(expected, mpi.library())
    _share_out_gpus(found)
    _divide_cores(found)
    return found


def _misfit(expected: Launched, library: str) -> UserError:
    if expected.launcher == "srun":
        advice = (
            "tell srun to speak to it, as with the option mpi=pmi2, or begin the command with "
            "srun -n 1 if one process was meant"
        )
    else:
        advice = "use the mpiexec of that MPI, or build mpi4py with the MPI of this mpiexec"
    return UserError(
        f"{expected.size} processes were started by {expected.launcher}, but to the MPI of mpi4py "
        f"({library}) each is alone; {advice}"
    )


def _share_out_gpus(found: World) -> None:
    """Give each process of this machine another one of the GPUs that it sees."""
    from minispiral.kernels.cuda import launch

    launch.choose(found.machine.rank)


def _divide_cores(found: World) -> None:
    """Give each process of this machine its share of the cores that they have in common."""
    from minispiral.kernels.cpu import parallel  # with NumPy, which a single process may not need

    bound = parallel.available_cores() < (os.cpu_count() or 1)
    if not bound and "MINISPIRAL_THREADS" not in os.environ:
        parallel.set_threads(max(1, parallel.available_cores() // found.machine.size))
