"""CUDA kernels on the CPU, for tests and for readers: see README.md in this folder.

`CpuDevice` takes the place of the GPU in `minispiral.kernels.cuda.launch`; `in_both_orders` calls a
function of `minispiral.kernels` on it. `build` compiles the kernels of a file, `mutant` makes
copies of the kernels with a mistake in one of them.
"""

import os
from typing import Any

from .array import DeviceArray
from .build import CompilerError, build, compiler, mutant
from .device import CpuDevice, KernelError, build_at_once
from .twins import call, in_both_orders


def can_run() -> bool:
    """Whether this machine has what it takes: a C++ compiler, and POSIX."""
    return os.name == "posix" and compiler() is not None


def __getattr__(name: str) -> Any:
    """The mark ``needs_compiler`` for tests; pytest is needed only where it is used."""
    if name != "needs_compiler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest

    return pytest.mark.skipif(
        not can_run(),
        reason="no C++ compiler (or no POSIX) here to run CUDA kernels on the CPU with",
    )


__all__ = [
    "CompilerError",
    "CpuDevice",
    "DeviceArray",
    "KernelError",
    "build",
    "build_at_once",
    "call",
    "can_run",
    "compiler",
    "in_both_orders",
    "mutant",
    "needs_compiler",
]
