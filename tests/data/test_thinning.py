"""Thinning against scikit-image's, one mask at a time."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.morphology import thin as expected_of

from minispiral.data.thinning import thin, thin_layers
from tests.detection.maps import smooth_map


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    blur=st.sampled_from([0.0, 0.8, 2.5]),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_lines_are_those_of_scikit_image(
    size: tuple[int, int], blur: float, share: float, seed: int
) -> None:
    values = smooth_map(np.random.default_rng(seed), size, blur)
    mask = values >= np.quantile(values, share)
    np.testing.assert_array_equal(thin(mask), expected_of(mask))
    turned = expected_of(mask[::-1, ::-1])[::-1, ::-1]  # by a half: its west was east
    np.testing.assert_array_equal(thin(mask, west_first=True), turned)


def test_masks_in_the_bits_of_a_number_are_thinned_as_if_each_were_alone(rng) -> None:
    values = smooth_map(rng, (67, 91), 1.5)
    levels = np.quantile(values, rng.random(64))
    masks = [values >= level for level in levels]
    bits = [np.uint64(1) << np.uint64(k) for k in range(64)]
    layers = sum(mask * bit for mask, bit in zip(masks, bits, strict=True))
    thinned = thin_layers(layers)
    for mask, bit in zip(masks, bits, strict=True):
        np.testing.assert_array_equal(thinned & bit != 0, expected_of(mask))


def test_long_thick_masks_take_several_parts() -> None:
    mask = np.zeros((200, 250), bool)
    mask[5:-7, 3:-9] = True
    np.testing.assert_array_equal(thin(mask), expected_of(mask))
