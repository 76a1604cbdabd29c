"""Fixtures shared by all tests."""

import os
from pathlib import Path

import numpy as np
import pytest
from small import make_trained


@pytest.fixture
def rng() -> np.random.Generator:
    """Fresh random numbers; pytest prints the seed of a failing test.

    Set ``MINISPIRAL_TEST_SEED`` to repeat a run.
    """
    seed = int(os.environ.get("MINISPIRAL_TEST_SEED", np.random.SeedSequence().entropy % 2**32))
    print(f"MINISPIRAL_TEST_SEED={seed}")
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset, ``data``, and a run trained on it, ``run``: not to be changed."""
    return make_trained(tmp_path_factory.mktemp("trained"))
