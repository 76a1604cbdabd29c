"""Logits without a tape: either half of the pictures in a thread of its own."""

import threading

import numpy as np
import pytest

from minispiral.detection.inference import infer
from minispiral.kernels.cpu import parallel
from minispiral.networks import build
from minispiral.tensor import Tensor


@pytest.fixture(autouse=True)
def _default_threads():
    yield
    parallel.set_threads(None)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("name", ["spiral", "unet"])
def test_logits_are_those_of_all_pictures_at_once(rng, name, count):
    network = build(name, depths=[1, 2, 3], width=0.1, rng=rng)
    network(Tensor(rng.standard_normal((2, 63, 63, 3)).astype(np.float32)))  # running moments
    network.eval()
    x = rng.standard_normal((count, 63, 47, 3)).astype(np.float32)
    expected = network(Tensor(x)).data
    found = []
    for threads in (1, 2, 3):
        parallel.set_threads(threads)
        found.append(infer(network, x))
    np.testing.assert_allclose(found[0], expected, atol=1e-5 * np.abs(expected).max())
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()


def test_halves_go_through_the_network_at_the_same_time_and_leave_no_tape(rng):
    parallel.set_threads(2)
    meeting = threading.Barrier(2)
    seen = []

    def network(x):
        meeting.wait(timeout=20)
        y = x * weight
        seen.append((len(x.data), y.requires_grad))
        return y

    weight = Tensor(np.float64(2), requires_grad=True)
    x = rng.standard_normal((5, 3, 3, 3))
    np.testing.assert_array_equal(infer(network, x), 2 * x)
    assert sorted(seen) == [(2, False), (3, False)]


def test_an_error_in_either_half_reaches_the_caller(rng):
    x = rng.standard_normal((4, 3, 3, 3))
    for refused in (x[:2], x[2:]):

        def network(pictures, refused=refused):
            if np.array_equal(pictures.data, refused):
                raise LookupError("these pictures")
            return pictures

        with pytest.raises(LookupError, match="these pictures"):
            infer(network, x)
