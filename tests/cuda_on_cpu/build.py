"""Compiles kernels for the CPU, each file with the header that stands in for CUDA."""

import atexit
import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
KERNELS = HERE.parents[1] / "kernels" / "cuda"
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-shared", "-fvisibility=hidden")
# A product and a sum stay two roundings, unless the kernel says fma.
FLAGS += ("-ffp-contract=off", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE")


class CompilerError(Exception):
    """The compiler refused a kernel; what it said."""


@cache
def compiler() -> str | None:
    """The C++ compiler: of the variable ``CXX``, else g++, else clang++; None without any."""
    names = [*shlex.split(os.environ.get("CXX", ""))[:1], "g++", "clang++"]
    return next((path for name in names if (path := shutil.which(name))), None)


@cache
def _folder() -> Path:
    """Where libraries are kept until the process ends.

    Several processes share the folder of the variable ``CUDA_ON_CPU_FOLDER``, which outlasts them.
    """
    if "CUDA_ON_CPU_FOLDER" in os.environ:
        return Path(os.environ["CUDA_ON_CPU_FOLDER"])
    folder = tempfile.mkdtemp(prefix="cuda-on-cpu-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def build(file: Path, expressions: Sequence[str], flags: Sequence[str] = ()) -> ctypes.CDLL:
    """A library of the kernels ``expressions`` in ``file``, made once for each text of them.

    For the i-th one it has ``launch_kernel<i>`` and ``signature_kernel<i>``. Further flags come
    from the variable ``CUDA_ON_CPU_FLAGS``. `CompilerError` where it does not compile.
    """
    kernels = [f"KERNEL(kernel{i}, {name})" for i, name in enumerate(expressions)]
    file = file.resolve()
    text = "\n".join(['#include "launch.h"', f'#include "{file}"', *kernels, ""])
    extra = [*flags, *shlex.split(os.environ.get("CUDA_ON_CPU_FLAGS", ""))]
    command = [
        str(compiler()),
        *FLAGS,
        *extra,
        f"-I{HERE}",
        f"-I{file.parent}",
        f"-I{KERNELS}",
    ]
    read = [*HERE.glob("*.h"), file, *file.parent.glob("*.cuh"), *KERNELS.glob("*.cuh")]
    key = hashlib.sha256("\0".join([text, *command, *(f.read_text() for f in read)]).encode())
    library = _folder() / f"{file.stem}-{key.hexdigest()[:16]}.so"
    if not library.exists():
        made = library.with_suffix(f".{os.getpid()}.cpp")  # another process may be at it too
        made.write_text(text)
        part = made.with_suffix(".so")
        done = subprocess.run(
            [*command, "-o", str(part), str(made)],
            env={name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise CompilerError(done.stderr)
        part.replace(library)
    return ctypes.CDLL(str(library))


def mutant(kernels: Path, file: str, old: str, new: str, folder: Path) -> Path:
    """A copy of the kernels in ``folder``, in which ``old``, which occurs once, is ``new``."""
    folder.mkdir()
    for path in (*kernels.glob("*.cu"), *kernels.glob("*.cuh")):
        shutil.copy(path, folder)
    text = (folder / file).read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise ValueError(f"{file} has {text.count(old)} times what is to be changed: {old!r}")
    (folder / file).write_text(text.replace(old, new), encoding="utf-8")
    return folder
