"""A dataset of random photographs."""

import numpy as np
import pytest

from minispiral.data.pairs import find_pairs
from minispiral.data.store import PhotoStore
from tests.small import write_pair


@pytest.fixture
def dataset(tmp_path, rng):
    """Five photographs of odd sizes, as arrays and as files."""
    folder = tmp_path / "data"
    folder.mkdir()
    arrays = []
    for i in range(5):
        h, w = rng.integers(20, 60, 2)
        photo = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
        mask = rng.random((h, w)) < 0.1
        write_pair(folder, str(i), photo, mask)
        arrays.append((photo, mask))
    return folder, arrays


@pytest.fixture
def store(dataset, tmp_path):
    store = PhotoStore(find_pairs(dataset[0]), tmp_path)
    yield store
    store.close()
