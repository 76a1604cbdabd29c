"""Mistakes that are easily made in a kernel, made on purpose: the CPU device finds each of them.

A mistake is found if the kernel is stopped, if its results are wrong, or if they depend on which
threads come first.
"""

import re
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

from minispiral.kernels import batchnorm, conv2d, layout, losses, pooling
from minispiral.kernels.cuda import sources, table
from tests.cuda_on_cpu import (
    CpuDevice,
    KernelError,
    build_at_once,
    call,
    mutant,
    needs_compiler,
)
from tests.kernels.epilogues import normalizing, summing, with_moments, with_scale_shift_relu

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]


class Mistake(NamedTuple):
    """One change to a source, and a word of how it is found: the error, or ``wrong``."""

    file: str
    old: str
    new: str
    function: str
    found: str


MISTAKES = {
    "no barrier before the sums are merged": Mistake(
        "rows.cuh", "parts[at] = own;\n  __syncthreads();", "parts[at] = own;", "moments", "wrong"
    ),
    "no barrier between the steps of merging": Mistake(
        "rows.cuh",
        "parts[at + half * blockDim.x]);\n    __syncthreads();",
        "parts[at + half * blockDim.x]);",
        "moments",
        "wrong",
    ),
    "a barrier that only some threads reach": Mistake(
        "rows.cuh",
        "if (threadIdx.y < half) parts[at] = merge(parts[at], parts[at + half * blockDim.x]);\n"
        "    __syncthreads();",
        "if (threadIdx.y < half) {\n"
        "      parts[at] = merge(parts[at], parts[at + half * blockDim.x]);\n"
        "      __syncthreads();\n    }",
        "moments",
        "not every thread reaches the barrier",
    ),
    "threads that leave before a barrier": Mistake(
        "moments.cuh",
        "  Gathered<T> own;\n  if (own_channel() < c)",
        "  Gathered<T> own;\n  if (own_channel() >= c) return {};\n  if (own_channel() < c)",
        "moments",
        "not every thread reaches the barrier",
    ),
    "one row too many": Mistake(
        "moments.cuh",
        "int row = first_row(); row < m; row",
        "int row = first_row(); row <= m; row",
        "moments",
        "memory that is not there",
    ),
    "twice the shared memory there is": Mistake(
        "rows.cuh",
        "const int at = threadIdx.y * blockDim.x + threadIdx.x;\n  parts",
        "const int at = 2 * (threadIdx.y * blockDim.x + threadIdx.x);\n  parts",
        "moments",
        "memory that is not there",
    ),
    "a batch of loads beyond the last row": Mistake(
        "rows.cuh",
        "if (start + j * step < stop) loaded[j]",
        "loaded[j]",
        "moments",
        "memory that is not there",
    ),
    "an origin that is overwritten before all have read it": Mistake(
        "moments.cuh",
        "  __syncthreads();  // the origins are no longer read\n",
        "",
        "moments",
        "wrong",
    ),
    "the gradient of a channel beyond the last": Mistake(
        "batchnorm.cu",
        "if (channel >= c) return;\n  const ChannelGrad<T> grad",
        "const ChannelGrad<T> grad",
        "normalize_relu_grad",
        "memory that is not there",
    ),
    "a block's result that nobody writes": Mistake(
        "losses.cu", "partial[blockIdx.y] = all", "partial[0] = all", "sums", "wrong"
    ),
    "a column before the image": Mistake(
        "conv2d_plain.cu",
        "row >= conv.h || col < 0 || col >= conv.w",
        "row >= conv.h",
        "conv2d",
        "wrong",
    ),
    "a share of rows that leaves out the last": Mistake(
        "conv2d_plain.cu",
        "(rows + gridDim.y - 1) / gridDim.y",
        "rows / gridDim.y",
        "conv2d_weight_grad",
        "wrong",
    ),
    "a copy that is not waited for": Mistake(
        "matrix_product.cuh",
        "cp_async_wait<T::stages - 2>();",
        "cp_async_wait<T::stages - 1>();",
        "conv2d_mma",
        "wrong",
    ),
    "groups of copies that are not counted": Mistake(
        "matrix_product.cuh",
        "    }\n    cp_async_commit();  // also",
        "    cp_async_commit();\n    }  // also",
        "conv2d_mma",
        "wrong",
    ),
    "no barrier between copies and product": Mistake(
        "matrix_product.cuh",
        "    __syncthreads();  // all copies",
        "    // all copies",
        "conv2d_mma",
        "wrong",
    ),
    "a copy over a tile that is in use": Mistake(
        "matrix_product.cuh",
        "load_step(step + T::stages - 1);",
        "load_step(step + T::stages);",
        "conv2d_mma",
        "wrong",
    ),
    "registers of the left factor exchanged": Mistake(
        "matrix_product.cuh",
        "row = first + lane % 16, term = lane / 16 * 4",
        "row = first + lane / 16 * 8 + lane % 8, term = lane / 8 % 2 * 4",
        "conv2d_mma",
        "wrong",
    ),
    "registers of the right factor exchanged": Mistake(
        "matrix_product.cuh",
        "(k + 4 * r) * rows]",
        "(k + 4 - 4 * r) * rows]",
        "conv2d_mma",
        "wrong",
    ),
    "a copy that is not aligned": Mistake(
        "convolution_tiles.cuh",
        "image + (offset[n]",
        "image + (1 + offset[n]",
        "conv2d_mma",
        "misal",
    ),
    "chunks read in another order than they lie in": Mistake(
        "matrix_product.cuh", "^ row / 2 % 4)", "^ row / 4 % 4)", "conv2d_mma", "wrong"
    ),
    "a row beyond the image": Mistake(
        "convolution_tiles.cuh",
        "within(row[n] + down, h) && ",
        "within(row[n] + down, h + 1) && ",
        "conv2d_mma",
        "",
    ),
    "an image that ends a row late": Mistake(
        "convolution_tiles.cuh",
        "row >= row_end",
        "row > row_end",
        "conv2d_weight_grad_mma",
        "",
    ),
    "numbers of the next row in a chunk": Mistake(
        "matrix_product.cuh",
        "exists = valid && i < count;",
        "exists = valid && count > 0;",
        "conv2d_mma_narrow",
        "",
    ),
    "a number beyond the last channel": Mistake(
        "matrix_product.cuh",
        "if (count > 1) to[1]",
        "if (count > 0) to[1]",
        "conv2d_mma_narrow",
        "",
    ),
    "no barrier before the terms are summed": Mistake(
        "conv2d_few.cu",
        "  __syncthreads();\n\n  const int own_row",
        "\n  const int own_row",
        "conv2d_few",
        "wrong",
    ),
    "a window read before it is there": Mistake(
        "conv2d_few_weight_grad.cu",
        "distance, conv.oh, conv.ow);\n    __syncthreads();",
        "distance, conv.oh, conv.ow);",
        "conv2d_weight_grad_few",
        "wrong",
    ),
    "sums written over windows that are still read": Mistake(
        "conv2d_few_weight_grad.cu",
        "    __syncthreads();\n  }\n\n  float *sums",
        "  }\n\n  float *sums",
        "conv2d_weight_grad_few",
        "wrong",
    ),
    "the sums of another lane": Mistake(
        "conv2d_few_input_grad.cu",
        "given = upper ? sum[v] : sum[v + bit]",
        "given = upper ? sum[v + bit] : sum[v]",
        "conv2d_input_grad_few",
        "wrong",
    ),
    "a column of the next row": Mistake(
        "conv2d_few_input_grad.cu",
        "within(j - 1 + q, conv.ow);",
        "within(j - 1 + q, conv.ow + 1);",
        "conv2d_input_grad_few",
        "wrong",
    ),
    "moments over weights that are still read": Mistake(
        "conv2d_few_input_grad.cu",
        "    __syncthreads();  // the weights, or the last channel's sums, are no longer read\n",
        "",
        "conv2d_input_grad_few_moments",
        "wrong",
    ),
    "rows beyond the last pixel among the moments": Mistake(
        "moments.cuh", "max(0, min(rows - first, height))", "height", "conv2d_mma_moments", "wrong"
    ),
    "lanes left out of the moments": Mistake(
        "moments.cuh", "bit = lowest; bit < 32", "bit = lowest; bit < 16", "conv2d_mma_moments", ""
    ),
    "moments over operands that are still read": Mistake(
        "conv2d_mma.cu",
        "    __syncthreads();  // the operands are no longer read\n    result.moments",
        "    result.moments",
        "conv2d_mma_moments",
        "wrong",
    ),
    "moments over windows that are still read": Mistake(
        "conv2d_few.cu",
        "  __syncthreads();  // the windows are no longer read\n",
        "",
        "conv2d_few_moments",
        "wrong",
    ),
    "no barrier before the moments of warps are merged": Mistake(
        "moments.cuh",
        "Moments *result) {\n  __syncthreads();",
        "Moments *result) {",
        "conv2d_few_moments",
        "wrong",
    ),
    "a scale of another channel": Mistake(
        "conv2d_mma.cu",
        "epilogue.scaled_relu()(x, first_channel + column)",
        "epilogue.scaled_relu()(x, first_channel + (column ^ 1))",
        "conv2d_mma_scaled",
        "wrong",
    ),
    "sums of a gradient over operands that are still read": Mistake(
        "conv2d_mma.cu",
        "    __syncthreads();  // the operands are no longer read\n    const ReadByNorm",
        "    const ReadByNorm",
        "conv2d_mma_summed",
        "wrong",
    ),
    "a gradient that the ReLU stops, among the sums": Mistake(
        "conv2d_mma.cu", "passes ? gradient : 0", "gradient", "conv2d_mma_summed", "wrong"
    ),
    "an image normalised beyond its rim": Mistake(
        "normalized.cuh", "{~0u, ~0u, ~0u, ~0u}", "{}", "conv2d_mma_normalized", "wrong"
    ),
    "an image normalised by the channels of a step before": Mistake(
        "normalized.cuh", "  channel += 16;", "  channel += 0;", "conv2d_mma_normalized", "wrong"
    ),
    "an image flipped as another one is": Mistake(
        "layout.cu", "flips[2 * b + 1]", "flips[b + 1]", "flip", "wrong"
    ),
    "a column beyond the last one": Mistake(
        "layout.cu", "columns - c - column", "columns - column", "flip", "memory that is not there"
    ),
    "a channel beyond those of all images": Mistake(
        "layout.cu", "if (from.c == 0) return;", "", "concatenate", "memory that is not there"
    ),
    "a window beyond the last one": Mistake(
        "pooling.cu", "if (i >= oh || j >= ow) continue;", "", "max_pool2d_grad", ""
    ),
}


def arrays(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


FORMS = {
    "_moments": with_moments,
    "_scaled": with_scale_shift_relu,
    "_normalized": normalizing,
    "_summed": summing,
}


def example(function, rng) -> tuple[Any, tuple[Any, ...], Any]:
    """A function of the kernels with arguments, and its results on the CPU."""
    module = {
        "moments": batchnorm,
        "normalize_relu_grad": batchnorm,
        "sums": losses,
        "flip": layout,
        "concatenate": layout,
        "max_pool2d_grad": pooling,
    }.get(function, conv2d)
    arguments = {
        "moments": (arrays(rng, 2, 17, 19, 33),),
        "normalize_relu_grad": (
            *arrays(rng, 2, 2, 9, 7, 36),
            *(rng.uniform(0.5, 2, (4, 36)).astype(np.float32)),
            1e-5,
        ),
        "sums": (losses.F1(), arrays(rng, 2, 63, 65, 1), rng.random((2, 63, 65, 1)) < 0.3),
        "conv2d": (arrays(rng, 2, 7, 6, 5), arrays(rng, 3, 3, 5, 3), 2, 1),
        "conv2d_mma": (arrays(rng, 3, 9, 9, 36), arrays(rng, 3, 3, 36, 8), 2, 1),
        "conv2d_mma_moments": (arrays(rng, 3, 9, 9, 8), arrays(rng, 3, 3, 8, 8), 2, 1),
        "conv2d_mma_narrow": (arrays(rng, 3, 9, 9, 9), arrays(rng, 3, 3, 9, 7), 2, 1),
        "conv2d_mma_scaled": (
            *(arrays(rng, 8), arrays(rng, 8)),
            *(arrays(rng, 3, 9, 9, 8), arrays(rng, 3, 3, 8, 8), 2, 1),
        ),
        "conv2d_mma_normalized": (
            *arrays(rng, 2, 32),
            *(arrays(rng, 3, 9, 9, 32), arrays(rng, 3, 3, 32, 8), 2, 1),
        ),
        "conv2d_mma_summed": (
            *rng.uniform(0.5, 2, (4, 8)).astype(np.float32),
            *(arrays(rng, 3, 5, 5, 8), arrays(rng, 3, 9, 9, 8), arrays(rng, 3, 3, 8, 8), 2, 1),
        ),
        "conv2d_weight_grad_mma": (arrays(rng, 3, 11, 9, 8), arrays(rng, 3, 5, 4, 8), (3, 3), 2),
        "conv2d_few": (arrays(rng, 2, 9, 9, 3), arrays(rng, 3, 3, 3, 8), 2, 1),
        "conv2d_few_moments": (arrays(rng, 2, 25, 23, 3), arrays(rng, 3, 3, 3, 72), 2, 1),
        "conv2d_weight_grad_few": (arrays(rng, 2, 9, 9, 3), arrays(rng, 2, 7, 7, 8), (3, 3)),
        "conv2d_input_grad_few": (arrays(rng, 2, 7, 7, 8), arrays(rng, 3, 3, 3, 8), (15, 15), 2),
        "conv2d_input_grad_few_moments": (
            *(arrays(rng, 2, 17, 17, 8), arrays(rng, 3, 3, 1, 8), (35, 35), 2),
        ),
        "conv2d_weight_grad": (arrays(rng, 2, 303, 6, 5), arrays(rng, 2, 301, 4, 3), (3, 3)),
        "concatenate": tuple(arrays(rng, 2, 9, 7, c) for c in (3, 1, 2)),
        "flip": (
            rng.integers(256, size=(4, 9, 7, 3), dtype=np.uint8),
            np.array([(False, True), (True, False), (False, False), (True, True)]),
        ),
        "max_pool2d_grad": (
            arrays(rng, 2, 3, 2, 5),
            rng.integers(0, 4, (2, 3, 2, 5), np.int32),
            (7, 5),
            2,
            2,
        ),
    }[function]
    name = re.sub("_(mma|few)(_moments|_scaled|_narrow|_normalized|_summed)?$", "", function)
    kernel = getattr(module, name)
    for ending, form in FORMS.items():
        if function.endswith(ending):
            kernel = form(kernel)
    return kernel, arguments, kernel(*arguments)


class Mutated(CpuDevice):
    """A device with a mistake in one file, ``changed``; what does not include it is as ever."""

    def __init__(self, reverse=False, *, changed, **options):
        super().__init__(reverse, **options)
        self.changed = changed

    def library(self, file):
        concerned = f'#line 1 "{self.changed}"' in sources.expand(file)
        return super().library(file) if concerned else CpuDevice().library(file)


def verdicts(function, rng, make=CpuDevice):
    """What comes of running a function in both orders, and the kernels that ran."""
    kernel, arguments, expected = example(function, rng)
    found, launched = [], []
    for reverse in (False, True):
        device = make(reverse)
        try:
            result = call(device, kernel, *arguments)
        except KernelError as error:
            found.append(str(error))
            continue
        results = (a if isinstance(a, tuple) else np.atleast_1d(a) for a in (result, expected))
        pairs = zip(*results, strict=True)
        right = all(np.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in pairs)
        found.append("right" if right else "wrong")
        launched += device.launched
    return found, launched


@pytest.fixture(scope="module")
def launched(cuda_libraries):
    """For each function the kernels that it runs, which give the right results."""
    rng = np.random.default_rng()
    kernels = {}
    for function in {mistake.function for mistake in MISTAKES.values()}:
        found, kernels[function] = verdicts(function, rng)
        assert found == ["right", "right"], function
    return kernels


@pytest.fixture(scope="module")
def mutants(launched, tmp_path_factory):
    """A function for each mistake that makes a device with it; all compiled at once."""
    devices, jobs = {}, []
    for name, (file, old, new, function, _) in MISTAKES.items():
        folder = tmp_path_factory.mktemp("mutant") / "kernels"
        devices[name] = partial(
            Mutated,
            changed=file,
            kernels=mutant(sources.FOLDER, file, old, new, folder),
            flags=["-O0"],
            only=launched[function],
        )
        files = {table.KERNELS[kernel].file for kernel in launched[function]}
        jobs += [(devices[name](), file) for file in files]
    build_at_once(jobs)
    return devices


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_found(mutants, rng, name):
    found, _ = verdicts(MISTAKES[name].function, rng, mutants[name])
    assert found != ["right", "right"]
    assert any(MISTAKES[name].found in text for text in found), found
