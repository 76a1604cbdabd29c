"""Compiles kernels for the CPU, each file with the header that stands in for CUDA."""

import atexit
import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from minispiral.files import lock

HERE = Path(__file__).resolve().parent
KERNELS = HERE.parents[1] / "kernels" / "cuda"
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden")
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

    Several processes share the folder of the variable ``CUDA_ON_CPU_FOLDER``, which outlasts them:
    those of a test session, each of which would compile the same kernels.
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
    header = _header(flags)
    command = [
        *_command(flags),
        "-shared",
        f"-I{header.parent}",  # where launch.h may be, compiled; otherwise it is the next one
        f"-I{HERE}",
        f"-I{file.parent}",
        f"-I{KERNELS}",
    ]
    read = [*HERE.glob("*.h"), file, *file.parent.glob("*.cuh"), *KERNELS.glob("*.cuh")]
    library = _folder() / f"{file.stem}-{_key(text, *command, *(f.read_text() for f in read))}.so"
    with _made_by_one(library) as missing:
        if missing:
            made = library.with_suffix(".cpp")
            made.write_text(text)
            part = library.with_suffix(".part")
            _compile([*command, "-o", str(part), str(made)])
            part.replace(library)
    return ctypes.CDLL(str(library))


def precompile(flags: Sequence[str] = ()) -> None:
    """Compile what all kernels include, which is most of what a small one takes.

    That is worth it ahead of three files or more. Only g++ takes it as it is made here.
    """
    header = _header(flags)
    with _made_by_one(header) as missing:
        if missing and _is_gcc():
            part = header.with_suffix(".part")
            # Included, since a main file has no use for #pragma once.
            text = header.with_suffix(".h")
            text.write_text('#include "launch.h"\n')
            language = "-x", "c++-header"
            _compile([*_command(flags), f"-I{HERE}", *language, "-o", str(part), str(text)])
            part.replace(header)


def _command(flags: Sequence[str]) -> list[str]:
    extra = [*flags, *shlex.split(os.environ.get("CUDA_ON_CPU_FLAGS", ""))]
    return [str(compiler()), *FLAGS, *extra]


def _header(flags: Sequence[str]) -> Path:
    """Where `precompile` puts launch.h for these flags, in a folder of its own."""
    read = [path.read_text() for path in sorted(HERE.glob("*.h"))]
    return _folder() / f"headers-{_key(*_command(flags), *read)}" / "launch.h.gch"


def _key(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


@cache
def _is_gcc() -> bool:
    said = subprocess.run([str(compiler()), "--version"], capture_output=True, text=True)
    return "Free Software Foundation" in said.stdout


@contextmanager
def _made_by_one(path: Path) -> Iterator[bool]:
    """Whether a file is missing; of all threads and processes one at a time may make it."""
    if path.exists():
        yield False
        return
    path.parent.mkdir(exist_ok=True)
    with open(path.with_suffix(".lock"), "ab") as file:
        lock(file, wait=True)
        yield not path.exists()


def _compile(command: Sequence[str]) -> None:
    done = subprocess.run(
        command,
        env={name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise CompilerError(done.stderr)


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
