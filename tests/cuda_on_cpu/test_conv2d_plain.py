"""The plain CUDA kernels of convolution, on the CPU, against loops and against their twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.kernels import reference
from minispiral.kernels.conv2d import conv2d, conv2d_input_grad, conv2d_weight_grad
from minispiral.kernels.cuda import conv2d as cuda
from minispiral.kernels.cuda import conv2d_plain
from tests.cuda_on_cpu import in_both_orders, needs_compiler
from tests.kernels.convolutions import Case, small_cases
from tests.kernels.epilogues import with_moments, with_scale_shift_relu
from tests.kernels.test_conv2d import TOLERANCE, assert_matches, both_dtypes

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries", "plain")]


@pytest.fixture(scope="module")
def plain():
    """No other kernels than the plain ones, in float32 too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "ALGORITHMS", (conv2d_plain,))
        yield


@given(case=small_cases(), seed=st.integers(0, 2**32), dtype=st.sampled_from(list(TOLERANCE)))
@settings(max_examples=20, deadline=None)
def test_small_shapes_match_the_loops(case, seed, dtype):
    for kernel, args in case.calls(np.random.default_rng(seed), dtype):
        result = in_both_orders(kernel, *args)
        assert_matches(result, getattr(reference, kernel.__name__)(*args), dtype)


@both_dtypes
@pytest.mark.parametrize(
    "case",
    [
        Case(2, (31, 29), 3, 17, (3, 3), 2, 0),
        Case(1, (15, 17), 33, 1, (4, 5), 1, 2),
        Case(9, (33, 5), 2, 3, (2, 3), 3, 1),
    ],
    ids=lambda c: "-".join(map(str, c)),
)
def test_shapes_of_several_blocks_match_the_numpy_twins(rng, case, dtype):
    for kernel, args in case.calls(rng, dtype):
        result = in_both_orders(kernel, *args)
        assert_matches(result, kernel(*args), dtype)


@both_dtypes
def test_epilogues_match_the_numpy_twins(rng, dtype):
    case = Case(2, (9, 8), 5, 6, (3, 3), 2, 1)
    for kernel, args in case.calls(rng, dtype)[:2]:
        function = with_moments(kernel)
        found, expected = in_both_orders(function, *args), function(*args)
        for result, wanted in zip(found, expected, strict=True):
            assert_matches(result, wanted, dtype)
        function = with_scale_shift_relu(kernel)
        vectors = rng.standard_normal((2, expected[0].shape[-1])).astype(dtype)
        cut = in_both_orders(function, *vectors, *args)
        assert_matches(cut, function(*vectors, *args), dtype)


def test_shapes_that_do_not_fit_are_refused_as_on_the_cpu(rng):
    case = Case(2, (11, 13), 5, 7, (3, 3), 2, 0)
    x, w, gy = case.arrays(rng, np.float32)
    for call, said in (
        (lambda: in_both_orders(conv2d, x[..., :4].copy(), w), r"image \(n, h, w, 5\)"),
        (lambda: in_both_orders(conv2d, x, w[0]), r"weights \(kh, kw, big, small\)"),
        (lambda: in_both_orders(conv2d, x, w.astype(np.float64)), "one floating dtype"),
        (lambda: in_both_orders(conv2d_input_grad, gy, w, (13, 13), 2), "does not belong"),
        (lambda: in_both_orders(conv2d_input_grad, x[:, :5, :6], w, (11, 13), 2), "small=7"),
        (lambda: in_both_orders(conv2d_weight_grad, x[0], gy, (3, 3), 2), "expected weights"),
        (lambda: in_both_orders(conv2d_weight_grad, x, gy, (3, 2), 3), "does not belong"),
    ):
        with pytest.raises(ValueError, match=said):
            call()
