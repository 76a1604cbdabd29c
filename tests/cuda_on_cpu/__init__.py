"""CUDA kernels on the CPU, for tests and for readers: see README.md in this folder.

`CpuDevice` takes the place of the GPU in `minispiral.kernels.launch`; `in_both_orders` calls a
function of `minispiral.kernels.cuda` on it. `build` compiles the kernels of a file, `mutant` makes
copies of the kernels with a mistake in one of them.
"""

import os

import pytest

from .build import CompilerError, build, compiler, mutant
from .device import CpuDevice, KernelError, build_at_once
from .twins import call, in_both_orders

needs_compiler = pytest.mark.skipif(
    os.name != "posix" or compiler() is None,
    reason="no C++ compiler (or no POSIX) here to run CUDA kernels on the CPU with",
)

__all__ = [
    "CompilerError",
    "CpuDevice",
    "KernelError",
    "build",
    "build_at_once",
    "call",
    "compiler",
    "in_both_orders",
    "mutant",
    "needs_compiler",
]
