"""Fixtures shared by all tests."""

import os
from pathlib import Path

import numpy as np
import pytest

from minispiral.kernels.cuda import launch
from tests.cuda_on_cpu import CpuDevice, build_at_once
from tests.small import make_trained


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
    build_at_once((device, file) for file in sorted({k.file for k in launch.KERNELS.values()}))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset, ``data``, and a run trained on it, ``run``: not to be changed."""
    return make_trained(tmp_path_factory.mktemp("trained"))
