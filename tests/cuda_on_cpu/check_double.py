"""Compare the double of CuPy with CuPy: ``python -m tests.cuda_on_cpu.check_double [PYTHON...]``.

Each PYTHON is an interpreter that has CuPy. Without any, both packages of CuPy are downloaded and
installed, each into an environment of its own that is removed at the end (about 0.5 GB). No GPU is
needed. Every name that the double has must exist, and take the arguments that it takes; and CuPy
must compile all kernels. The exit status is 1 where anything differs.
"""

import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
import tempfile
import venv
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from minispiral.kernels import cuda
from minispiral.kernels.cuda import sources, table

from . import cupy_double
from .build import compiler

CHILD = Path(__file__).with_name("real_cupy.py")
PACKAGES = {
    "cupy-cuda12x": ["nvidia-cuda-nvrtc-cu12", "nvidia-cuda-runtime-cu12"],
    "cupy-cuda13x": ["nvidia-cuda-nvrtc", "nvidia-cuda-runtime"],
}
ARCH = "90"
NOT_MADE = {"Graph", "MemoryPointer", "RawKernel", "ndarray"}  # by the library, but returned to it
CALLED = {"__call__", "__enter__", "__exit__"}
OF_TESTS = {"memory", "reads"}  # of arrays of the double


KINDS = {
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "",
    inspect.Parameter.KEYWORD_ONLY: "keyword",
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


class Parameter(NamedTuple):
    name: str
    default: str | None  # as it is written
    kind: str


def names() -> dict[str, Any]:
    """Every public name of the double, in full, with what it is."""
    found: dict[str, Any] = {}
    waiting = list(cupy_double.modules().items())
    for prefix, space in waiting:
        public = {name for name in dir(space) if not name.startswith("_")} - OF_TESTS
        for last in sorted(public | CALLED & set(dir(space))):
            name, value = f"{prefix}.{last}", inspect.getattr_static(space, last)
            found[name] = value
            if isinstance(value, SimpleNamespace) or (inspect.isclass(value) and not fails(value)):
                waiting.append((name, value))
    return found


def fails(value: Any) -> bool:
    """Whether it is an exception."""
    return inspect.isclass(value) and issubclass(value, BaseException)


def split(text: str) -> list[str]:
    """The parts between commas that no bracket encloses."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def parameters(text: str) -> list[Parameter]:
    """Of a signature as Python or Cython writes it; a type may stand before a name or after it."""
    found, keywords = [], False
    for part in split(text):
        part = part.replace("\\", "")
        if part in ("*", "/"):
            keywords |= part == "*"
            continue
        left, _, default = part.partition("=")
        name = re.search(r"(\*{0,2})(\w+)$", left.partition(":")[0].strip())
        assert name is not None, part
        kind = name[1] or ("keyword" if keywords else "")
        found.append(Parameter(name[2], default.strip() or None, kind))
    return [p for p in found if p.name not in ("self", "cls")]


def real_parameters(name: str, described: dict[str, str | None]) -> list[Parameter] | None:
    """Of CuPy's object: its last line of the form ``name(...)``, or else what Python knows."""
    last = name.rpartition(".")[2]
    text = (described["doc"] or "").split("\n\nArgs:")[0]
    lines = re.findall(rf"^(?:\w+\.)?{last}\((.*)\)(?: ->.*)?$", text, re.MULTILINE)
    if lines:
        return parameters(lines[-1])
    if described["signature"]:
        inside = re.fullmatch(r"\((.*)\)(?: ->.*)?", described["signature"], re.DOTALL)
        return parameters(inside[1]) if inside else None
    return None


def differences(name: str, ours: Any, described: dict[str, str | None] | None) -> list[str]:
    """What a call of the double's object may not do with CuPy's."""
    if described is None:
        return [f"{name}: CuPy has no such name"]
    made = inspect.isclass(ours) and name.rpartition(".")[2] not in NOT_MADE
    if fails(ours) or not (made or inspect.isfunction(ours)):
        return []
    own = [
        Parameter(p.name, None if p.default is p.empty else repr(p.default), KINDS[p.kind])
        for p in inspect.signature(ours).parameters.values()
        if p.name != "self"
    ]
    real = real_parameters(name, described)
    if real is None:
        return [f"{name}: CuPy does not say what it takes"]
    return [f"{name}: {text}" for text in compared(own, real)]


def compared(own: list[Parameter], real: list[Parameter]) -> list[str]:
    by_name = {p.name: p for p in real}
    found = []
    for i, parameter in enumerate(own):
        other = by_name.get(parameter.name)
        if parameter.kind == "*":
            continue
        if other is None:
            found.append(f"CuPy takes no {parameter.name}")
        elif parameter.kind == "" and real.index(other) != i:
            found.append(f"{parameter.name} is argument {real.index(other)} of CuPy's, {i} here")
        elif parameter.default and other.default and not same(parameter.default, other.default):
            found.append(
                f"{parameter.name} is {other.default} by default, {parameter.default} here"
            )
    given = {p.name for p in own}
    found += [
        f"CuPy demands {p.name}"
        for p in real
        if p.default is None and p.kind in ("", "keyword") and p.name not in given
    ]
    return found


def same(ours: str, theirs: str) -> bool:
    return re.sub(r"<class '(\w+)'>", r"\1", ours) == re.sub(r"<class '(\w+)'>", r"\1", theirs)


def ask(python: str | Path, nccl: Path) -> dict[str, Any]:
    """What CuPy of an interpreter answers; ``nccl`` is a folder with a library of that name."""
    for module in pkgutil.iter_modules(cuda.__path__):  # which declare the kernels
        import_module(f"{cuda.__name__}.{module.name}")
    files = sorted({kernel.file for kernel in table.KERNELS.values()})
    asked = {
        "names": list(names()),
        "arch": ARCH,
        "sources": [
            {
                "file": file,
                "code": sources.expand(file),
                "options": sources.OPTIONS,
                "names": table.expressions(file),
            }
            for file in files
        ],
    }
    done = subprocess.run(
        [str(python), str(CHILD)],
        input=json.dumps(asked),
        env={**os.environ, "LD_LIBRARY_PATH": str(nccl)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def without_functions(folder: Path) -> Path:
    """A library that is called as NCCL's: CuPy's module of it can then be looked at."""
    empty = folder / "empty.c"
    empty.write_text("")
    library = folder / "libnccl.so.2"
    command = [str(compiler()), "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-x", "c"]
    subprocess.run([*command, str(empty), "-o", str(library)], check=True)
    return folder


def problems(answer: dict[str, Any]) -> list[str]:
    """Where the double differs from the CuPy that gave this answer."""
    found = [f"not so: {fact}" for fact, holds in answer["facts"].items() if not holds]
    for name, ours in names().items():
        found += differences(name, ours, answer["names"][name])
    return found


def check(python: str | Path) -> list[str]:
    """Print what was compared with an interpreter's CuPy; where the double differs from it."""
    with tempfile.TemporaryDirectory() as folder:
        answer = ask(python, without_functions(Path(folder)))
    found = problems(answer)
    nvrtc = ".".join(map(str, answer["nvrtc"]))
    print(
        f"CuPy {answer['version']} for CUDA {answer['cuda'] // 1000}: {len(names())} names compared"
        f", {len(answer['compiled'])} files compiled by NVRTC {nvrtc} for sm_{ARCH}, "
        f"{len(found)} differences",
        *found,
        sep="\n  ",
    )
    return found


def installed(package: str, folder: Path) -> Path:
    """A new environment with a package of CuPy, and what it compiles with; its interpreter."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    wanted = [f"{package}>=14.2", *PACKAGES[package]]
    subprocess.run([str(python), "-m", "pip", "install", "-q", *wanted], check=True)
    return python


def main(pythons: list[str]) -> int:
    differing = [check(python) for python in pythons]
    if not pythons:
        for package in PACKAGES:
            with tempfile.TemporaryDirectory() as folder:
                differing.append(check(installed(package, Path(folder))))
    return int(any(differing))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
