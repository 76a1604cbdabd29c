"""The totals of a training run in CUDA, on the CPU, against their NumPy twin."""

import numpy as np
import pytest

from minispiral.kernels import statistics
from minispiral.kernels.cuda import launch
from tests.cuda_on_cpu import CpuDevice, needs_compiler
from tests.kernels.test_adam import both_dtypes

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]


@both_dtypes
@pytest.mark.parametrize("reverse", [False, True])
def test_sums_over_batches_are_those_of_the_numpy_twin(rng, dtype, reverse):
    """A batch without crack, one of many blocks, an infinite loss and one that is not a number."""
    host = np.zeros(len(statistics.TOTALS))
    with launch.using(CpuDevice(reverse)) as device:
        totals = device.put(host)
        for shape, share, loss in (
            ((2, 5, 7, 1), 0.3, 1.5),
            ((1, 3, 3, 1), 0.0, np.inf),
            ((2, 60, 50, 1), 0.5, 0.25),
            ((2, 3, 3, 1), 0.5, np.nan),
        ):
            logits = rng.standard_normal(shape).astype(dtype)
            logits.flat[0] = 0  # taken for crack
            mask = rng.random(shape) < share
            batch = np.array(loss, dtype), logits, mask
            statistics.add_batch(host, *batch)
            statistics.add_batch(totals, *map(device.put, batch))
        np.testing.assert_array_equal(device.get(totals), host)
