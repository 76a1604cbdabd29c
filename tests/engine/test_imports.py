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

BELOW = {"kernels", "errors", "profiling"}  # the engine itself

# What each part of the engine may import, besides itself.
ENGINE = {
    "minispiral.kernels": set(),
    "minispiral.errors": set(),
    "minispiral.profiling": set(),
    "minispiral.device": BELOW,
    "minispiral.tensor": BELOW,
    "minispiral.ops": {"tensor", *BELOW},
    "minispiral.losses": {"ops", "tensor", *BELOW},
    "minispiral.nn": {"ops", "tensor", *BELOW},
    "minispiral.optim": {"nn", "ops", "tensor", *BELOW},
    "minispiral.networks": {"nn", "ops", "tensor", *BELOW},
    "minispiral.gradcheck": {"device", "networks", "losses", "nn", "ops", "tensor", *BELOW},
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
        "    from .kernels.parallel import threads\n"
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


@pytest.mark.parametrize("name", sorted(MODULES))
def test_module_imports_only_what_lies_below_it(name: str) -> None:
    found = set(imports(name))
    assert not {other for other in found if other.split(".")[0] in {"bench", "tests", "kernels"}}
    if name != "minispiral.__main__":
        assert "minispiral.cli" not in found
    for part, allowed in ENGINE.items():
        if belongs(name, part):
            below = [part, *(f"minispiral.{other}" for other in allowed)]
            for other in library_imports(name):
                assert any(belongs(other, package) for package in below), f"{name} -> {other}"


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


def test_only_launch_knows_of_cupy() -> None:
    assert users("cupy", "minispiral") == {"minispiral.kernels.cuda.launch"}
    assert users("cupyx", "minispiral") == {"minispiral.kernels.cuda.streams"}


@pytest.mark.parametrize("library", ["jax", "scipy", "tensorflow", "torch"])
def test_no_framework_is_used(library: str) -> None:
    assert not users(library, "minispiral")


ENGINE_MODULES = sorted(
    name for name in MODULES if name == "minispiral" or any(belongs(name, part) for part in ENGINE)
)

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
