"""CUDA convolutions that normalise the image they read, and sum for batch norm's gradient.

Neither may cost a pass of its own where the kernels can do it on the way. What their results are
held against comes from kernels whose order of threads has tests of its own, and runs in one order.
"""

import numpy as np
import pytest

from minispiral.kernels import batchnorm
from minispiral.kernels.cuda import conv2d as cuda
from minispiral.kernels.cuda import conv2d_mma, conv2d_plain, split_k
from minispiral.kernels.normalized import Normalized
from tests.cuda_on_cpu import CpuDevice, call, in_both_orders, needs_compiler
from tests.kernels.convolutions import Case
from tests.kernels.epilogues import reading_normalized, with_grad_sums

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]

IN_PARTS = split_k, "parts", lambda *_: 3
TENSOR_CORES = {
    f"{tiling}{', in parts' if parts else ''}": (
        [(conv2d_mma, "choose_tiling", lambda *_, tiling=tiling: tiling), *([IN_PARTS] * parts)],
        Case(2, (15, 13), 16, 144, (3, 3), 2, 0)
        if parts
        else Case(1, (12, 13), 80, 32, (3, 2), 1, 1),
    )
    for tiling in conv2d_mma.TILINGS
    if not tiling.startswith("Narrow")
    for parts in (False, True)
}
FEW_CHANNELS = {
    "one channel": ([], Case(2, (25, 23), 1, 68, (3, 3), 2, 0)),
    "three channels": ([], Case(3, (17, 19), 3, 64, (3, 3), 2, 1)),
    **{f"form {big}": ([], Case(1, (9, 11), big, 12, (3, 3), 2, 1)) for big in (2, 4, 5, 6)},
    "any kernel": ([], Case(2, (17, 19), 7, 67, (3, 2), 1, 1)),
    "any kernel, aligned": ([], Case(1, (7, 8), 2, 72, (2, 3), 3, 0)),
}
MADE = {
    "narrow": ([], Case(2, (11, 13), 19, 67, (3, 3), 2, 0)),
    "channels not in sixteens": ([], Case(1, (7, 8), 12, 20, (3, 2), 1, 1)),
    "plain": ([(cuda, "ALGORITHMS", (conv2d_plain,))], Case(2, (9, 8), 9, 5, (3, 3), 2, 1)),
}


def decide(request, monkeypatch, cases):
    decided, case = cases[request.param]
    for module, name, value in decided:
        monkeypatch.setattr(module, name, value)
    return case


@pytest.fixture(params=TENSOR_CORES)
def many(request, monkeypatch):
    return decide(request, monkeypatch, TENSOR_CORES)


@pytest.fixture(params=FEW_CHANNELS)
def few(request, monkeypatch):
    return decide(request, monkeypatch, FEW_CHANNELS)


@pytest.fixture(params=MADE)
def made(request, monkeypatch):
    return decide(request, monkeypatch, MADE)


def vectors(rng, c):
    """Scale of both signs, shift and mean: half of the image becomes 0."""
    return tuple(rng.standard_normal((3, c)).astype(np.float32))


def image_of(x, scale, shift):
    """What a pass of its own makes of ``x``, to the bit: moments 0 and 1 change nothing."""
    zeros, ones = np.zeros_like(scale), np.ones_like(scale)
    return call(CpuDevice(), batchnorm.normalize_relu, x, zeros, ones, scale, shift, 0.0)


def check_reading(rng, kernel, args, *places):
    """Same bits as for images that were made, which agree with the formula."""
    x = [args[place] for place in places]
    given = [vectors(rng, image.shape[-1]) for image in x]
    images = list(args)
    for place, image, (scale, shift, _) in zip(places, x, given, strict=True):
        images[place] = image_of(image, scale, shift)
        expected = np.maximum(np.float64(scale) * image + shift, 0)
        np.testing.assert_allclose(images[place], expected, rtol=1e-6, atol=1e-6)
    flat = [vector for three in given for vector in three]
    result = in_both_orders(reading_normalized(kernel, *places), *flat, *args)
    assert np.array_equal(result, call(CpuDevice(), kernel, *images))


def test_tensor_cores_normalise_what_they_read(rng, many):
    conv, input_grad, weight_grad = many.calls(rng, np.float32)
    check_reading(rng, *conv, 0)
    check_reading(rng, *input_grad, 0)
    check_reading(rng, *weight_grad, 0)
    check_reading(rng, *weight_grad, 1)


def test_few_channels_normalise_the_smaller_image(rng, few):
    _, input_grad, weight_grad = few.calls(rng, np.float32)
    check_reading(rng, *input_grad, 0)
    check_reading(rng, *weight_grad, 1)


def test_a_shift_that_is_not_a_number_shows(rng, many):
    for kernel, args in many.calls(rng, np.float32):
        scale, shift, mean = vectors(rng, args[0].shape[-1])
        shift[2] = np.nan
        result = call(CpuDevice(), reading_normalized(kernel, 0), scale, shift, mean, *args)
        if kernel.__name__ == "conv2d_weight_grad":
            result = result[:, :, 2]
        assert np.isnan(result).all()


def check_sums(rng, kernel, args, exact):
    out = call(CpuDevice(), kernel, *args)
    scale, shift, mean = vectors(rng, out.shape[-1])
    mean += 300  # a sum of products with x itself would lose digits
    x = (300 + rng.standard_normal(out.shape)).astype(np.float32)
    shift -= 300 * scale
    result, parts = in_both_orders(with_grad_sums(kernel), scale, shift, mean, x, *args)
    assert np.array_equal(result, out)
    g = np.where(np.float32(image_of(x, scale, shift)) > 0, np.float64(out), 0)
    centred = np.float64(x) - mean
    for found, terms in zip(parts.sum(0).T, (g, g * centred), strict=True):
        terms = terms.reshape(-1, out.shape[-1])
        error = np.abs(found - terms.sum(0))
        assert (error <= exact * np.abs(terms).sum(0) + 1e-30).all()


def test_tensor_cores_sum_for_the_gradient_of_batch_norm(rng, many):
    for kernel, args in many.calls(rng, np.float32)[:2]:
        check_sums(rng, kernel, args, 1e-6)


def test_few_channels_sum_for_the_gradient_of_batch_norm(rng, few):
    check_sums(rng, *few.calls(rng, np.float32)[0], 1e-6)


def test_images_are_made_for_kernels_that_cannot_read_them_so(rng, made):
    for kernel, args in made.calls(rng, np.float32):
        scale, shift, mean = vectors(rng, args[0].shape[-1])

        def on_image(scale, shift, mean, x, zeros, ones, *rest, kernel=kernel):
            def make():
                return batchnorm.normalize_relu(x, zeros, ones, scale, shift, 0.0)

            return kernel(Normalized(x, scale, shift, mean, make), *rest)

        known = np.zeros_like(scale), np.ones_like(scale)
        result = in_both_orders(on_image, scale, shift, mean, args[0], *known, *args[1:])
        expected = call(CpuDevice(), kernel, image_of(args[0], scale, shift), *args[1:])
        assert np.array_equal(result, expected)
