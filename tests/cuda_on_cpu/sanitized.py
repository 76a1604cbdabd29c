"""The CUDA kernels under AddressSanitizer: a program for `test_sanitizer.py`.

    python sanitized.py KERNELS FILE...

runs the kernels of these files of the folder KERNELS on odd shapes, in float32, and prints their
names. Memory is from the heap, which the sanitizer watches byte by byte; at the first mistake it
ends the process and names the line.
"""

import random
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from minispiral.distributed import World
from minispiral.kernels import (
    arithmetic,
    batchnorm,
    collective,
    conv2d,
    layout,
    losses,
    pooling,
    statistics,
    tiles,
)
from minispiral.kernels.adam import Update
from minispiral.kernels.arrays import like
from minispiral.kernels.clip import Clip
from minispiral.kernels.cuda import conv2d as cuda_conv2d
from minispiral.kernels.cuda import (
    conv2d_few,
    conv2d_mma,
    conv2d_plain,
    conv2d_pointwise,
    split_k,
    table,
)
from minispiral.kernels.norm import Norm
from tests.cuda_on_cpu.device import CpuDevice, build_at_once
from tests.cuda_on_cpu.twins import call
from tests.kernels.epilogues import (
    reading_normalized,
    with_grad_sums,
    with_moments,
    with_scale_shift_relu,
)

FLAGS = ["-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
# What AddressSanitizer stops as well: addresses that are nobody's. A check at every access less.
FLAGS += ["-fno-sanitize=null,object-size"]

ONLY = {name for name in table.KERNELS if "double" not in name}


def convolutions(x, w, gy):
    """The three kernels at stride 2 and padding 1, with each epilogue."""
    big, small = w[0, 0, :, 0].copy(), w[0, 0, 0].copy()
    for kernel, vector, arguments in (
        (conv2d.conv2d, small, (x, w, 2, 1)),
        (conv2d.conv2d_input_grad, big, (gy, w, x.shape[1:3], 2, 1)),
    ):
        yield with_moments(kernel), arguments
        yield with_scale_shift_relu(kernel), (vector, vector, *arguments)
    yield conv2d.conv2d_weight_grad, (x, gy, w.shape[:2], 2, 1)


def few_channels(x, w, gy):
    """The same, without epilogues too, with sums for a gradient, and reading normalised images."""
    yield from convolutions(x, w, gy)
    vectors = [w[0, 0, 0]] * 3
    scatter = gy, w, x.shape[1:3], 2, 1
    for kernel in (conv2d.conv2d_input_grad, with_moments(conv2d.conv2d_input_grad)):
        yield kernel, scatter
        yield reading_normalized(kernel, 0), (*vectors, *scatter)
    weight_grad = reading_normalized(conv2d.conv2d_weight_grad, 1)
    yield weight_grad, (*vectors, x, gy, w.shape[:2], 2, 1)
    yield with_grad_sums(conv2d.conv2d), (*vectors, gy, x, w, 2, 1)


def many_channels(x, w, gy):
    """Reading normalised images, and with sums for a gradient."""
    of_big, of_small = [w[0, 0, :, 0].copy()] * 3, [w[0, 0, 0]] * 3
    gather, scatter = (x, w, 2, 1), (gy, w, x.shape[1:3], 2, 1)
    yield reading_normalized(conv2d.conv2d, 0), (*of_big, *gather)
    yield reading_normalized(conv2d.conv2d_input_grad, 0), (*of_small, *scatter)
    for place, vectors in enumerate((of_big, of_small)):
        weight_grad = reading_normalized(conv2d.conv2d_weight_grad, place)
        yield weight_grad, (*vectors, x, gy, w.shape[:2], 2, 1)
    yield with_grad_sums(conv2d.conv2d), (*of_small, gy, *gather)
    yield with_grad_sums(conv2d.conv2d_input_grad), (*of_big, x, *scatter)


def update(p, g, m, v):
    adam = Update(p, 0.1, 0.9, 0.999, 1e-8)
    adam.locate([p], [g], [m], [v])
    adam.launch()


def clipped(*gs):
    clip, copies = Clip(gs[0], 0.1), [like(np.zeros(g.shape, g.dtype), g) for g in gs]
    clip.locate(gs, copies)
    clip.launch()


def loss_and_gradient(loss, logits, mask):
    sums = losses.sums(loss, logits, mask)
    losses.value(loss, sums, logits.size)
    losses.gradient(loss, logits, mask, sums)


def moments_of_norm(x, *vectors):
    batchnorm.moments(x, Norm(*vectors[:2], 1e-5, *vectors[2:], 0.1))


def shared(function):
    """The function for one of several processes that share the batch; the others have nothing."""

    def call(*arguments):
        with collective.shared(World(), 2):
            return function(*arguments)

    return call


def calls(file):
    """Every function with kernels in this file, and arguments for it."""
    rng, dtype = np.random.default_rng(), np.float32
    x = rng.standard_normal((2, 7, 5, 35)).astype(dtype)
    if file == "adam.cu":
        p, g, m, v = (rng.random((9, 11)).astype(dtype) for _ in range(4))
        yield update, (p, g, m, v)
    if file == "clip.cu":
        yield clipped, (x, x[0, 0].copy())
    if file == "arithmetic.cu":
        row = rng.random(35).astype(dtype)
        yield arithmetic.add, (x, row)
        yield arithmetic.total, (x, x, x)
        yield arithmetic.multiply, (x, x)
        yield arithmetic.sigmoid, (x,)
        yield arithmetic.astype, (x, dtype)
        yield arithmetic.leading_sum, (x, 3)
        yield arithmetic.blend, (row, row.copy(), 0.9, 0.1)
    if file == "layout.cu":
        yield layout.scale_pixels, (rng.integers(256, size=(1, 3, 5, 7), dtype=np.uint8),)
        for dtype in (np.uint8, np.bool_):
            images = rng.integers(2, size=(3, 5, 7, 3)).astype(dtype)
            yield layout.flip, (images, rng.random((3, 2)) < 0.5)
        yield layout.concatenate, (x, x[..., :3].copy())
        yield layout.split, (x, (3, 34))
        yield layout.edge_pad, (x, 1, 2)
        yield layout.edge_pad_grad, (x, 1, 2)
        yield layout.crop, (x, 1, (5, 4))
        yield layout.crop_grad, (x, 2, (10, 9))
    if file == "statistics.cu":
        mask = rng.random(x.shape) < 0.1
        for function in (statistics.add_batch, shared(statistics.add_batch)):
            yield function, (np.zeros(7), np.array(1, dtype), x, mask)
    if file == "batchnorm.cu":
        vectors = [rng.random(35).astype(dtype) for _ in range(4)]
        yield batchnorm.moments, (x,)
        yield shared(batchnorm.moments), (x,)
        yield moments_of_norm, (x, *vectors)
        yield batchnorm.scale_shift, (dtype, *vectors, 1e-5)
        for relu in (batchnorm.normalize, batchnorm.normalize_relu):
            yield relu, (x, *vectors, 1e-5)
        yield batchnorm.normalize_grad, (x, x, *vectors[:3], 1e-5)
        yield batchnorm.normalize_relu_grad, (x, x, *vectors, 1e-5)
        yield shared(batchnorm.normalize_relu_grad), (x, x, *vectors, 1e-5)
        x = rng.standard_normal((2, 7, 5, 36)).astype(dtype)  # in 16 bytes
        yield shared(batchnorm.normalize_grad), (x, x, *(x[0, 0, :3] ** 2), 1e-5)
    if file == "conv2d_plain.cu":
        w, gy = (rng.random(shape).astype(dtype) for shape in ((3, 2, 35, 3), (2, 4, 3, 3)))
        cuda_conv2d.ALGORITHMS = (conv2d_plain,)
        yield from convolutions(x, w, gy)
    if file == "conv2d_few.cu":
        cuda_conv2d.ALGORITHMS = (conv2d_few,)
        for big in range(1, conv2d_few.FEW + 1):
            for small in (67, 68):
                x, w, gy = (
                    rng.random(shape).astype(dtype)
                    for shape in ((2, 7, 5, big), (3, 3, big, small), (2, 4, 3, small))
                )
                yield from few_channels(x, w, gy)
    if file == "conv2d_pointwise.cu":
        cuda_conv2d.ALGORITHMS = (conv2d_pointwise,)
        for big in range(1, conv2d_pointwise.MOST + 1):
            x, w, gy = (
                rng.random(shape).astype(dtype)
                for shape in ((3, 7, 5, big), (1, 1, big, 1), (3, 7, 5, 1))
            )
            yield conv2d.conv2d, (x, w)
            yield conv2d.conv2d_input_grad, (gy, w, (7, 5))
            yield conv2d.conv2d_weight_grad, (x, gy, (1, 1))
    if file == "conv2d_mma.cu":
        cuda_conv2d.ALGORITHMS = (conv2d_mma,)
        for tiling in conv2d_mma.TILINGS:
            conv2d_mma.choose_tiling = lambda *_, tiling=tiling: tiling
            columns, narrow = conv2d_mma.TILINGS[tiling].columns, "Narrow" in tiling
            big, small = 16 - narrow, columns + 16 - narrow
            x, w, gy = (
                rng.random(shape).astype(dtype)
                for shape in ((2, 7, 5, big), (3, 2, big, small), (2, 4, 3, small))
            )
            yield from convolutions(x, w, gy)
            if not narrow:
                yield from many_channels(x, w, gy)
    if file == "split_k.cu":
        cuda_conv2d.ALGORITHMS = (conv2d_mma,)
        split_k.parts = lambda *_: 2
        w, gy = (rng.random(shape).astype(dtype) for shape in ((3, 2, 35, 3), (2, 4, 3, 3)))
        yield from convolutions(x, w, gy)
    if file == "losses.cu":
        mask = rng.random(x.shape) < 0.1
        for loss in losses.LOSSES.values():
            yield loss_and_gradient, (loss(), x, mask)
    if file == "pooling.cu":
        argmax = rng.integers(0, 9, (2, 3, 2, 35), np.int32)
        yield pooling.max_pool2d, (x, 3, 2)
        yield pooling.max_pool2d_grad, (x[:, :3, :2].copy(), argmax, (7, 5), 3, 2)
    if file == "tiles.cu":
        photo, total = rng.integers(256, size=(7, 5, 3), dtype=np.uint8), np.zeros((7, 5), dtype)
        corners, hw = ((-9, 2), (1, -3)), (11, 6)
        weights = tuple(tuple(np.ones(side, dtype) for side in hw) for _ in corners)
        yield tiles.cut, (photo, corners, hw)
        yield tiles.blend, (total, np.zeros((2, *hw, 1), dtype), corners, weights)


def main(kernels, files):
    """In one order of the threads, drawn anew: the bytes that they touch are the same in both."""
    device = CpuDevice(random.random() < 0.5, Path(kernels), FLAGS, ONLY, guarded=False)
    build_at_once((device, file) for file in files)
    for file in files:
        for function, arguments in calls(file):
            call(device, function, *arguments)
    print(*device.launched, sep="\n")


main(sys.argv[1], sys.argv[2:])
