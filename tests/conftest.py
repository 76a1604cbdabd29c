"""Fixtures shared by all tests."""

import os

import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    """Fresh random numbers; pytest prints the seed of a failing test.

    Set ``MINISPIRAL_TEST_SEED`` to repeat a run.
    """
    seed = int(os.environ.get("MINISPIRAL_TEST_SEED", np.random.SeedSequence().entropy % 2**32))
    print(f"MINISPIRAL_TEST_SEED={seed}")
    return np.random.default_rng(seed)
