"""Grey PNG as Pillow reads them."""

import io

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from minispiral.detection.grey_png import grey_png
from minispiral.kernels.cpu import parallel


@given(
    size=st.one_of(
        st.tuples(st.integers(1, 40), st.integers(1, 40)),
        st.sampled_from([(1, 300_001), (300_001, 1), (700, 999)]),  # several strips
    ),
    levels=st.sampled_from([1, 3, 256]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=25, deadline=None)
def test_pillow_reads_the_very_pixels_whatever_the_number_of_threads(size, levels, seed):
    picture = np.random.default_rng(seed).integers(levels, size=size).astype(np.uint8)
    encoded = grey_png(picture)
    with Image.open(io.BytesIO(encoded)) as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), picture)
    before = parallel.threads()
    try:
        parallel.set_threads(1 if before > 1 else 3)
        assert grey_png(picture) == encoded
    finally:
        parallel.set_threads(None)


def test_runs_take_no_room():
    assert len(grey_png(np.full((1000, 1000), 255, np.uint8))) < 10_000
