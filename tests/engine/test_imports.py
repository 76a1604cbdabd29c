"""Imports go one way, and importing the library changes nothing in the process."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# What each room may import, besides itself: the arrows of the house.
ARROWS = {
    "kernels": "",
    "errors": "",
    "numbers": "kernels",
    "tensor": "numbers kernels",
    "ops": "tensor kernels",
    "losses": "tensor kernels",
    "device": "kernels errors",
    "profiling": "tensor",
    "fused": "ops tensor profiling kernels",
    "nn": "fused ops tensor device kernels errors",
    "optim": "nn profiling kernels errors",
    "networks": "nn ops tensor kernels errors",
    "gradcheck": "networks nn losses fused ops tensor device kernels errors",
    "files": "errors",
    "memory": "errors",
    "data": "distributed files memory kernels errors",
    "distributed": "tensor profiling kernels errors",
    "runs": "networks nn device files memory errors",
    "detection": "distributed runs data networks tensor device files memory kernels errors",
    "training": "detection distributed runs data networks optim losses tensor profiling device "
    "files memory kernels errors",
    "measurement": "data files kernels errors",
    "report": "measurement data files errors",
    "export": "fused nn ops tensor detection runs data networks files kernels errors",
    "exercises": "detection networks tensor files kernels errors",
    "cli": "report export training measurement detection distributed runs data exercises "
    "gradcheck networks losses profiling device memory errors",
}
ENGINE = {
    "kernels",
    "errors",
    "device",
    "numbers",
    "tensor",
    "ops",
    "losses",
    "fused",
    "nn",
    "optim",
}

# Inside the kernels: the fronts import both twins, which know nothing of each other.
KERNELS = {
    "cpu": {"cpu", "shapes", "epilogues", "normalized", "norm", "loss_table", "collective"},
    "cuda": {"cuda", "shapes", "epilogues", "normalized", "norm", "loss_table", "collective"},
    "reference": set(),
    "shapes": set(),
    "epilogues": {"norm", "normalized"},
    "normalized": set(),
    "norm": set(),
    "collective": set(),
}


def modules() -> dict[str, Path]:
    """Every module that is shipped, by its dotted name."""
    found = {}
    for folder, package in {"minispiral": "minispiral", "kernels": "minispiral.kernels"}.items():
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join([package, *parts]).removesuffix(".__init__")
            found[name] = path
    return found


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """The dotted names a module imports, wherever in the file it does so."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in MODULES else base


def library_imports(name: str) -> set[str]:
    return {found for found in imports(name) if found.split(".")[0] == "minispiral"} - {name}


def belongs(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def test_the_walk_sees_imports_of_every_form(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = tmp_path / "example.py"
    source.write_text(
        "import os.path\n"
        "from minispiral import ops as o\n"
        "from minispiral.tensor import Tensor\n"
        "from . import nn\n"
        "from .kernels import conv2d\n"
        "def f():\n"
        "    from .kernels.cpu.parallel import threads\n"
        "    import minispiral.cli\n"
    )
    monkeypatch.setitem(MODULES, "minispiral.example", source)
    assert list(imports("minispiral.example")) == [
        "os.path",
        "minispiral.ops",
        "minispiral.tensor",
        "minispiral.nn",
        "minispiral.kernels.conv2d",
        "minispiral.kernels.cpu.parallel",
        "minispiral.cli",
    ]


def room(name: str) -> str:
    """``data`` of ``minispiral.data.photos``."""
    return [*name.split("."), ""][1]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_module_imports_only_what_lies_below_it(name: str) -> None:
    outside = {found.split(".")[0] for found in imports(name)}
    assert not outside & {"bench", "tests", "kernels"}
    if room(name) in {"", "__main__"}:
        return
    allowed = {room(name), *ARROWS[room(name)].split()}
    for other in library_imports(name) - {"minispiral"}:
        assert room(other) in allowed, f"{name} -> {other}"


def test_arrows_run_downwards() -> None:
    graph = {name: set(below.split()) for name, below in ARROWS.items()}
    assert set(TopologicalSorter(graph).static_order()) == set(ARROWS)


@pytest.mark.parametrize("part", KERNELS)
def test_twins_know_nothing_of_each_other(part: str) -> None:
    package = "minispiral.kernels"
    for name in MODULES:
        if belongs(name, f"{package}.{part}"):
            for other in library_imports(name):
                assert other.removeprefix(package).split(".")[1] in KERNELS[part], (name, other)


def imported_outside(folder: str) -> set[str]:
    """The top-level packages that the files of a folder of the checkout import."""
    return {
        ((node.module or "") if isinstance(node, ast.ImportFrom) else alias.name).split(".")[0]
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path)))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }


def test_measurements_and_tests_do_not_import_each_other() -> None:
    assert "bench" not in imported_outside("tests")
    assert "tests" not in imported_outside("bench")


def test_imports_make_no_circle() -> None:
    graph = {name: library_imports(name) for name in MODULES}
    assert set(TopologicalSorter(graph).static_order()) >= set(MODULES)


def users(library: str, package: str) -> set[str]:
    """The modules of ``package`` that import ``library``."""
    return {
        name
        for name in MODULES
        if belongs(name, package) and any(belongs(found, library) for found in imports(name))
    }


def test_only_parallel_knows_of_threads() -> None:
    parallel = {"minispiral.kernels.cpu.parallel"}
    assert users("threadpoolctl", "minispiral") == parallel
    assert users("threading", "minispiral.kernels") <= parallel
    assert users("concurrent", "minispiral.kernels") == parallel


def test_one_file_makes_the_gpu_of_cupy() -> None:
    assert users("cupy", "minispiral") == {"minispiral.kernels.cuda.cupy_gpu"}
    assert users("cupyx", "minispiral") == {"minispiral.kernels.cuda.streams"}


def test_only_measuring_needs_scipy() -> None:
    assert {room(name) for name in users("scipy", "minispiral")} <= {"measurement"}


@pytest.mark.parametrize("library", ["jax", "tensorflow", "torch"])
def test_no_framework_is_used(library: str) -> None:
    assert not users(library, "minispiral")


ENGINE_MODULES = sorted(name for name in MODULES if room(name) in {"", *ENGINE, "gradcheck"})

IMPORT_THEM = """
import importlib, json, os, sys, threading, time
import numpy, threadpoolctl

def state():
    tasks = "/proc/self/task"
    return {
        "threads": threading.active_count(),
        "tasks": len(os.listdir(tasks)) if os.path.isdir(tasks) else None,
        "blas": {pool["filepath"]: pool["num_threads"] for pool in threadpoolctl.threadpool_info()},
        "environment": dict(os.environ),
    }

before = state()
start = time.perf_counter()
for name in sys.argv[1:]:
    importlib.import_module(name)
seconds = time.perf_counter() - start
print(json.dumps({
    "before": before, "after": state(), "seconds": seconds, "modules": sorted(sys.modules)
}))
"""


def test_importing_the_engine_is_quick_and_changes_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_THEM, *ENGINE_MODULES],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    loaded = {name.split(".")[0] for name in found["modules"]}
    assert set(ENGINE_MODULES) <= set(found["modules"])
    assert not loaded & {"cupy", "matplotlib", "PIL", "click", "rich", "safetensors", "torch"}
    assert found["after"] == found["before"]
    assert found["seconds"] < 3  # after NumPy; a tenth of it is usual
