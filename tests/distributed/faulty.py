"""``mpiexec -n R python -m tests.distributed.faulty FAULT RANK words...``: a faulty minispiral.

The work of ``train`` is left out: its processes exchange sums, and the one with this rank (all, if
it is negative) fails meanwhile.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minispiral.cli import job, main
from minispiral.distributed import world
from minispiral.training import loop

FAULTS: dict[str, Callable[[], BaseException]] = {
    "memory": MemoryError,
    "bug": lambda: ZeroDivisionError("a bug"),
    "interrupt": KeyboardInterrupt,
    "exit": lambda: SystemExit(7),
}


def train(config: Any, run: Path, *rest: object) -> None:
    """What is done in the place of the work: two sums, and between them or after them the fault."""
    late = fault.endswith("-late")
    world().gather(np.zeros(1))
    if here and not late:
        raise FAULTS[fault]()
    world().gather(np.zeros(1))
    if here:
        time.sleep(0.2)  # the others have finished meanwhile
        raise FAULTS[fault.removesuffix("-late")]()


if __name__ == "__main__":
    fault, rank, *words = sys.argv[1:]
    here = int(rank) in (-1, int(os.environ["PMI_RANK"]))
    job.GRACE = 1.0
    if here and fault == "option":
        words += ["--lr", "0.5"]
    elif here and fault == "unknown option":
        words += ["--learning", "0.5"]
    elif here and fault == "version":
        job.__version__ = "0.0.9"
    elif fault != "none":
        loop.train = train
    main(words, prog_name="minispiral")
