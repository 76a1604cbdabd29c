"""Clipping of gradients by their global norm."""

import math

import numpy as np
import pytest

from minispiral.kernels import reference
from minispiral.kernels.clip import Clip
from minispiral.kernels.cpu import parallel

TOLERANCE = {np.float64: 1e-14, np.float32: 1e-6}

both_dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def clipped(gs, most):
    clip, copies = Clip(gs[0], most), [np.full(g.shape, np.nan, g.dtype) for g in gs]
    clip.locate(gs, copies)
    clip.launch()
    return copies


def gradients(rng, dtype):
    """Of one element, of a few, of several blocks, of no element; from tiny to large."""
    shapes = (1,), (3, 1, 5), (9001,), (0, 4)
    return [(10.0 ** rng.uniform(-6, 3) * rng.standard_normal(s)).astype(dtype) for s in shapes]


@both_dtypes
@pytest.mark.parametrize("share", [1e-3, 0.7, 1.5])
def test_gradients_match_the_loops(rng, dtype, share):
    gs = gradients(rng, dtype)
    before = [g.copy() for g in gs]
    norm = math.sqrt(math.fsum(float(x) ** 2 for g in gs for x in g.flat))
    found, expected = clipped(gs, share * norm), reference.clipped(gs, share * norm)
    for copy, wanted, g, old in zip(found, expected, gs, before, strict=True):
        np.testing.assert_allclose(copy, wanted, rtol=TOLERANCE[dtype], atol=0)
        assert g.tobytes() == old.tobytes()
        if share > 1:
            assert copy.tobytes() == g.tobytes()
    length = math.sqrt(math.fsum(float(x) ** 2 for g in found for x in g.flat))
    assert length == pytest.approx(norm * min(share, 1), rel=10 * TOLERANCE[dtype])


def test_squares_beyond_float32_are_no_infinity():
    [copy] = clipped([np.full(4, 1e30, np.float32)], 1.0)
    np.testing.assert_allclose(copy, 0.5, rtol=1e-6)


def test_zeros_and_nan_stay_what_they_are():
    assert not clipped([np.zeros(3)], 1e-300)[0].any()
    one, other = clipped([np.array([np.nan, 1.0]), np.array([2.0])], 0.5)
    assert np.isnan(one[0])
    assert (one[1], other[0]) == (1, 2)


def test_views_and_gradients_given_twice_count_as_their_copies(rng):
    g = rng.standard_normal((6, 8))
    spread = np.broadcast_to(g[:1], (5, 8))
    found = clipped([g.T, g, g, spread], 0.1)
    expected = clipped([g.T.copy(), g.copy(), g.copy(), spread.copy()], 0.1)
    assert all(map(np.array_equal, found, expected))


def test_same_bits_for_any_number_of_threads(rng):
    gs = [rng.standard_normal((3, 3, 127, 251)).astype(np.float32) for _ in range(3)]
    runs = []
    try:
        for count in (1, 2, 3):
            parallel.set_threads(count)
            runs.append(clipped(gs, 1.0))
    finally:
        parallel.set_threads(None)
    for other in runs[1:]:
        assert all(map(np.array_equal, runs[0], other))


@pytest.mark.parametrize(
    "copy", [np.zeros((2, 5)), np.zeros((2, 3), np.float32), np.zeros((3, 2)).T]
)
def test_copies_that_do_not_fit_are_refused(copy):
    with pytest.raises(ValueError, match=r"differ|contiguous"):
        Clip(copy, 1.0).locate([np.zeros((2, 3))], [copy])
