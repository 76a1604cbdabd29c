"""The CUDA kernels under AddressSanitizer and UBSan, which see every byte that is touched."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minispiral.kernels.cuda import sources, table
from tests import cuda_on_cpu
from tests.cuda_on_cpu import compiler, mutant, needs_compiler

PROGRAM = Path(cuda_on_cpu.__file__).with_name("sanitized.py")


def library(name):
    """Where the compiler keeps one of its own libraries, or None."""
    asked = [str(compiler()), f"-print-file-name={name}"]
    path = Path(subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip())
    return path if path.is_absolute() else None


SANITIZER = [library("libasan.so"), library("libstdc++.so")] if compiler() else []

pytestmark = [
    needs_compiler,
    pytest.mark.skipif(
        not all(SANITIZER), reason="the C++ compiler here has no shared library of AddressSanitizer"
    ),
]


def run(kernels, *files):
    """The program in a process of its own, in which the sanitizer is loaded before all else."""
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(map(str, SANITIZER)),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    return subprocess.run(
        [sys.executable, str(PROGRAM), str(kernels), *files],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_kernel_touches_only_what_it_may():
    done = run(sources.FOLDER, *sorted({kernel.file for kernel in table.KERNELS.values()}))
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.splitlines()) == {name for name in table.KERNELS if "double" not in name}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("adam.cu", "min(start + share, own.size)", "start + share"),
        # Shared memory ends after the parts of 256 threads.
        ("rows.cuh", "parts[at + half * blockDim.x]", "parts[at + 2 * half * blockDim.x]"),
    ],
)
def test_a_read_beyond_the_end_is_found_with_its_line(tmp_path, file, old, new):
    kernels = mutant(sources.FOLDER, file, old, new, tmp_path / "kernels")
    done = run(kernels, "adam.cu" if file == "adam.cu" else "batchnorm.cu")
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
    assert re.search(rf"{re.escape(file)}:\d+", done.stderr)
