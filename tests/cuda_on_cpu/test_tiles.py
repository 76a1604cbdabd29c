"""The CUDA kernels of tiles, on the CPU, against their NumPy twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.kernels import tiles
from tests.cuda_on_cpu import in_both_orders, needs_compiler
from tests.kernels.test_adam import both_dtypes
from tests.kernels.test_tiles import CORNERS, SIZES

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]


@both_dtypes
@given(size=SIZES, corners=CORNERS, hw=SIZES, seed=st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_tiles_have_the_bits_of_the_numpy_twin(dtype, size, corners, hw, seed):
    photo = np.random.default_rng(seed).integers(256, size=(*size, 3), dtype=np.uint8)
    found = in_both_orders(tiles.cut, photo, tuple(corners), hw, dtype)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, tiles.cut(photo, corners, hw, dtype))


@both_dtypes
@given(size=SIZES, corners=CORNERS, hw=SIZES, seed=st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_probabilities_are_those_of_the_numpy_twin(dtype, size, corners, hw, seed):
    rng = np.random.default_rng(seed)
    total = rng.random(size).astype(dtype)
    logits = 9 * rng.standard_normal((len(corners), *hw, 1)).astype(dtype)
    weights = tuple(tuple(rng.random(side).astype(dtype) for side in hw) for _ in corners)

    def blended(total, *arguments):
        tiles.blend(total, *arguments)
        return total

    found = in_both_orders(blended, total, logits, tuple(corners), weights)
    tiles.blend(total, logits, corners, weights)
    np.testing.assert_allclose(found, total, rtol=0, atol=20 * np.finfo(dtype).eps)
