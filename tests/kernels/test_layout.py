"""Layout of images against NumPy's indexing, and each gradient as the adjoint."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.kernels import layout


@given(
    n=st.integers(1, 5),
    hw=st.tuples(st.integers(1, 19), st.integers(1, 19)),
    c=st.integers(1, 4),
    dtype=st.sampled_from([np.uint8, np.bool_]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=20, deadline=None)
def test_flips_are_those_of_numpy(n, hw, c, dtype, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(256 if dtype == np.uint8 else 2, size=(n, *hw, c)).astype(dtype)
    flips = rng.random((n, 2)) < 0.5
    expected = images.copy()
    expected[flips[:, 0]] = expected[flips[:, 0], ::-1]
    expected[flips[:, 1]] = expected[flips[:, 1], :, ::-1]
    result = layout.flip(images, flips)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, expected)


def test_flips_of_anything_else_are_refused():
    images, flips = np.zeros((2, 3, 5, 3), np.uint8), np.zeros((2, 2), np.bool_)
    for wrong in (
        (images, flips[:1].copy()),
        (images, flips.view(np.uint8)),
        (images.astype(np.float32), flips),
    ):
        with pytest.raises(ValueError, match=r"boolean flips \(2, 2\), got"):
            layout.flip(*wrong)


def test_channels_of_other_images_are_refused(rng):
    x = rng.standard_normal((2, 3, 5, 1))
    for other in (rng.standard_normal((2, 5, 3, 1)), x.astype(np.float32)):
        with pytest.raises(ValueError, match="differ in axis 3 alone"):
            layout.concatenate(x, other)


@pytest.mark.parametrize("axis", range(4))
def test_split_undoes_concatenate_along_any_axis(rng, axis):
    shape = [2, 3, 5, 4]
    parts = []
    for size in (1, 3, 2):
        shape[axis] = size
        parts.append(rng.standard_normal(shape))
    joined = layout.concatenate(*parts, axis=axis)
    found = layout.split(joined, (1, 4), axis=axis - 4)
    assert len(found) == len(parts)
    for part, expected in zip(found, parts, strict=True):
        np.testing.assert_array_equal(part, expected)
        assert not np.shares_memory(part, joined)


def test_padding_and_cropping_have_their_adjoints(rng):
    """<f(x), gy> = <x, adjoint(gy)>, which is exact for small integers."""
    x = rng.integers(-9, 10, (2, 4, 6, 3)).astype(float)
    for function, adjoint in (
        (lambda x: layout.edge_pad(x, 2, 1), lambda gy: layout.edge_pad_grad(gy, 2, 1)),
        (lambda x: layout.crop(x, 1, (2, 4)), lambda gy: layout.crop_grad(gy, 1, (4, 6))),
    ):
        y = function(x)
        gy = rng.integers(-9, 10, y.shape).astype(float)
        assert np.vdot(y, gy) == np.vdot(x, adjoint(gy))
