"""Tiles of a photograph against NumPy's reflected padding, pixel by pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.kernels import tiles

SIZES = st.tuples(st.integers(1, 23), st.integers(1, 23))
CORNERS = st.lists(st.tuples(st.integers(-40, 30), st.integers(-40, 30)), min_size=1, max_size=4)


@given(size=SIZES, corners=CORNERS, hw=SIZES, seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_tiles_are_cut_from_the_reflected_photograph(size, corners, hw, seed):
    photo = np.random.default_rng(seed).integers(256, size=(*size, 3), dtype=np.uint8)
    rim = 60  # beyond every tile
    wide = np.pad(photo, ((rim, rim), (rim, rim), (0, 0)), "reflect") / 127.5 - 1
    found = tiles.cut(photo, corners, hw, np.float64)
    assert found.shape == (len(corners), *hw, 3)
    for tile, (top, left) in zip(found, corners, strict=True):
        expected = wide[rim + top :, rim + left :][: hw[0], : hw[1]]
        np.testing.assert_allclose(tile, expected, rtol=0, atol=1e-15)
    single = tiles.cut(photo, corners, hw)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, found, rtol=0, atol=1e-7)


@given(size=SIZES, corners=CORNERS, hw=SIZES, seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_probabilities_are_added_where_tiles_lie_on_the_map(size, corners, hw, seed):
    rng = np.random.default_rng(seed)
    total = rng.standard_normal(size)
    expected = total.copy()
    logits = rng.standard_normal((len(corners), *hw, 1))
    weights = [(rng.random(hw[0]), rng.random(hw[1])) for _ in corners]
    tiles.blend(total, logits, corners, weights)
    for tile, (top, left), (rows, columns) in zip(logits, corners, weights, strict=True):
        for i, j in np.ndindex(hw):
            if 0 <= top + i < size[0] and 0 <= left + j < size[1]:
                share = rows[i] * columns[j] / (1 + np.exp(-tile[i, j, 0]))
                expected[top + i, left + j] += share
    np.testing.assert_allclose(total, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    "photo", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)]
)
def test_what_is_no_photograph_is_refused(photo):
    with pytest.raises(ValueError, match="of uint8, got"):
        tiles.cut(photo, [(0, 0)], (3, 3))


def test_maps_and_weights_that_do_not_fit_are_refused(rng):
    total, logits = np.zeros((9, 8), np.float32), np.zeros((1, 5, 4, 1), np.float32)
    rows, columns = np.ones(5, np.float32), np.ones(4, np.float32)
    right = (total, logits, [(0, 0)], [(rows, columns)])
    tiles.blend(*right)
    for i, wrong in (
        (0, total[0]),
        (0, total.astype(np.float64)),
        (1, np.zeros((1, 5, 4, 3), np.float32)),
        (2, [(0, 0), (1, 1)]),
        (3, [(columns, rows)]),
        (3, []),
    ):
        with pytest.raises(ValueError, match="expected a map"):
            tiles.blend(*right[:i], wrong, *right[i + 1 :])
