"""The CUDA kernels of gradient clipping, on the CPU."""

import numpy as np
import pytest

from minispiral.kernels import reference
from minispiral.kernels.arrays import like
from minispiral.kernels.clip import Clip
from minispiral.kernels.cuda import launch
from tests.cuda_on_cpu import CpuDevice, in_both_orders, needs_compiler
from tests.kernels.test_clip import TOLERANCE, both_dtypes, gradients

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]


def clipped(most, *gs):
    clip, copies = Clip(gs[0], most), tuple(like(np.empty(g.shape, g.dtype), g) for g in gs)
    clip.locate(gs, copies)
    clip.launch()
    return copies


@both_dtypes
@pytest.mark.parametrize("share", [0.02, 2.0])
def test_gradients_match_the_loops(rng, dtype, share):
    gs = gradients(rng, dtype)
    most = share * float(np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in gs)))
    found, expected = in_both_orders(clipped, most, *gs), reference.clipped(gs, most)
    for copy, wanted, g in zip(found, expected, gs, strict=True):
        np.testing.assert_allclose(copy, wanted, rtol=TOLERANCE[dtype], atol=0)
        assert share < 1 or copy.tobytes() == g.tobytes()


def test_nan_clips_nothing(rng):
    assert in_both_orders(clipped, 0.5, np.array([np.nan, 3.0]))[0][1] == 3


def test_a_captured_clipping_finds_the_gradients_of_today(rng):
    with launch.using(CpuDevice()) as device:
        first, second = (device.put(np.full(5000, x, np.float32)) for x in (3.0, 8.0))
        copy = device.put(np.empty(5000, np.float32))
        clip = Clip(first, 1.0)
        clip.locate([first], [copy])
        clip.launch()  # so that the replay compiles nothing
        replay = device.record(clip.launch)
        assert device.launched == ["square_sums<float>", "clip_factor", "scaled<float>"]
        clip.locate([second], [copy])
        second[...] = device.put(np.full(5000, 1e-4, np.float32))
        replay()
        assert (device.get(copy) == np.float32(1e-4)).all()
