"""Fixtures shared by all tests, those in tests/ and those of bench/."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from minispiral.kernels.cuda import launch, table
from tests.cuda_on_cpu import CpuDevice, build_at_once, can_run, nvrtc
from tests.launch import Launch, launcher
from tests.small import ROOT, make_trained


def pytest_configure(config: pytest.Config) -> None:
    """All processes of a session share the kernels that one of them compiles for the CPU."""
    if not hasattr(config, "workerinput") and "CUDA_ON_CPU_FOLDER" not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="cuda-on-cpu-")
        config.add_cleanup(folder.cleanup)
        os.environ["CUDA_ON_CPU_FOLDER"] = folder.name


# The files that take longest: begun at the end they would leave all other cores idle.
LONGEST = (
    "tests/book/test_book.py",
    "tests/cuda_on_cpu/test_mutations.py",
    "tests/cuda_on_cpu/test_sanitizer.py",
    "tests/gradcheck/test_library.py",
    "bench/tests/test_cpu.py",
    "tests/bugs/test_planted_bugs.py",
    "tests/resume/test_resume.py",
    "bench/tests/test_gpu.py",
    "tests/cuda_on_cpu/test_jobs.py",
    "tests/cuda_on_cpu/test_normalized.py",
    "tests/cuda_on_cpu/test_epilogue.py",
    "tests/engine/test_onnx_backend.py",
    "tests/twin/test_twin.py",
    "tests/report/test_browser.py",
    "tests/engine/test_packaging.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; the others stay in their order."""
    places = {ROOT / file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture
def rng() -> np.random.Generator:
    """Fresh random numbers; pytest prints the seed of a failing test.

    Set ``MINISPIRAL_TEST_SEED`` to repeat a run.
    """
    seed = int(os.environ.get("MINISPIRAL_TEST_SEED", np.random.SeedSequence().entropy % 2**32))
    print(f"MINISPIRAL_TEST_SEED={seed}")
    return np.random.default_rng(seed)


@pytest.fixture(scope="session")
def cuda_libraries() -> None:
    """All CUDA kernels compiled for the CPU, at once, before the first test that runs one."""
    device = CpuDevice()
    build_at_once((device, file) for file in sorted({k.file for k in table.KERNELS.values()}))


@pytest.fixture
def executor(request: pytest.FixtureRequest) -> Iterator[CpuDevice]:
    """Runs the CUDA kernels on the CPU, in the place of the GPU."""
    if not can_run():
        pytest.skip("no C++ compiler (or no POSIX) here to run CUDA kernels on the CPU with")
    request.getfixturevalue("cuda_libraries")
    with launch.using(CpuDevice()) as device:
        yield device


@pytest.fixture
def cuda_compiler() -> ModuleType:
    """The functions that compile CUDA kernels for GPUs that are not here."""
    if nvrtc.library() is None:
        pytest.skip(nvrtc.WHERE)
    return nvrtc


@pytest.fixture
def mpiexec() -> Launch:
    """A function that starts several processes."""
    launch = launcher()
    if launch is None:
        pytest.skip("mpiexec or mpi4py is not installed here (the extra `mpi`)")
    return launch


@pytest.fixture
def printed() -> Callable[..., dict[str, Any]]:
    """A function: the JSON object that ``python -m module words...`` prints."""

    def run(module: str, *words: object) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, words)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run


@pytest.fixture
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training draws no curves: that takes longer than the runs of the tests."""
    monkeypatch.setattr(
        "minispiral.training.final_pictures.save_curves", lambda metrics, picture: False
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset, ``data``, and a run trained on it, ``run``: not to be changed."""
    return make_trained(tmp_path_factory.mktemp("trained"))
