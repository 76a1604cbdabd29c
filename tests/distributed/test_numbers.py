"""Several processes that share a batch compute what one process does."""

import json

import numpy as np
import pytest

from tests.launch import Launch


@pytest.mark.parametrize("processes", [2, 3])
def test_every_loss_and_network_gives_the_numbers_of_one_process(
    processes: int, mpiexec: Launch, rng: np.random.Generator
) -> None:
    seed = int(rng.integers(2**31))
    done = mpiexec(processes, "-m", "tests.distributed.numbers", seed, "--quick")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["processes"] == processes
    assert len(found["differences"]) == 10
    for case, (difference, name) in found["differences"].items():
        assert difference < 1e-10, (case, name, seed)
    (bits,) = {tuple(runs) for runs in found["bits"]}  # alike in all processes
    assert bits[0] == bits[1]
