"""Convolution where the larger image has few channels: the first and last layers of the modules.

Such a layer does little arithmetic for each number it reads, so memory is the limit; on tensor
cores most of the products would be of zeros. Most kernels exist in a form for each number of
channels under a kernel of 3 x 3, where the channels of the smaller image come in multiples of four,
and in a slower form for everything else.
"""

import numpy as np
from numpy.typing import DTypeLike

from ..normalized import Image, array_of
from ..shapes import Convolution
from . import split_k
from .convolution import CHUNK, check_aligned, no_vectors, struct, to_read
from .epilogues import EpilogueArguments
from .launch import Array, blocks, launch
from .rows import SHARED_DOUBLE
from .table import declare

FEW = 7  # channels of the larger image
MOST_TERMS = 64  # taps times channels of the larger image

_COLUMNS = 64  # channels of a block
_PIXELS = 256  # of a block of conv2d_few, and of a step of conv2d_weight_grad_few
_THREADS = 256
_LANES = 8  # threads that compute a group of pixels together in conv2d_input_grad_few
_MOST_BLOCKS = 1024  # of conv2d_input_grad_few: each leaves a part of the moments

_FORMS = range(1, 7)  # channels of the larger image under a kernel of 3 x 3; 0 for all else
_ANY = 0
_CELLS, _LANES_3X3 = 4, 4  # of 2 x 2 pixels, and the threads that compute them together
_MOST_WEIGHTS = 256  # channels that the weights in shared memory may have in that form

# Of conv2d_weight_grad_few, see WeightTile: floats of a window in shared memory, threads that share
# the pixels, 8 where nothing else is said, and how many of these a thread sums over in float.
_PITCH = {1: 12, 2: 20, 3: 28, 4: 36, 5: 52, 6: 60, _ANY: 68}
_LANES_OF_PIXELS = {1: 16, _ANY: 4}
_MOST_PIXELS = 128

_BOOLEANS = "false", "true"


def _declare(file: str, expression: str, floats: int, registers: int) -> None:
    declare(f"conv2d_few{file}.cu", expression, shared=4 * floats, registers=registers)


for big in (_ANY, *_FORMS):
    terms = 9 * big or MOST_TERMS
    _declare("", f"conv2d_few<{big}>", terms * (_PIXELS + _COLUMNS), 128)
    for normalized in _BOOLEANS:
        name = f"conv2d_weight_grad_few<{big}, {normalized}>"
        _declare("_weight_grad", name, _PITCH[big] * _PIXELS, 128 if 0 < big < 3 else 255)
for big in range(1, FEW + 1):
    name, moments = f"conv2d_input_grad_few<{big}>", 3 * SHARED_DOUBLE // 4
    _declare("_input_grad", name, moments, 64 if big <= 3 else 88)
for big in _FORMS:
    for fused in _BOOLEANS:
        name = f"conv2d_input_grad_few_3x3<{big}, {fused}>"
        floats = max(9 * big * _MOST_WEIGHTS, moments)
        _declare("_input_grad", name, floats, 128 if big <= 2 else 255)


def accepts(conv: Convolution, dtype: DTypeLike) -> bool:
    """Float32, few channels on one side alone, and a kernel small enough for shared memory."""
    few = conv.big <= FEW and conv.kh * conv.kw * conv.big <= MOST_TERMS
    return dtype == np.float32 and few and conv.small >= CHUNK


def conv2d(x: Image, w: Array, y: Array, conv: Convolution, epilogue: EpilogueArguments) -> None:
    tiles = blocks(conv.n * conv.oh * conv.ow, _PIXELS), blocks(conv.small, _COLUMNS)
    arguments = epilogue.with_sums(tiles[0])
    check_aligned(w, y)
    launch(f"conv2d_few<{_form(conv)}>", tiles, struct(conv), array_of(x), w, y, *arguments)


def conv2d_input_grad(
    gy: Image, w: Array, gx: Array, conv: Convolution, epilogue: EpilogueArguments
) -> None:
    gy, vectors = to_read(gy)
    normalized, vectors = vectors is not None, vectors or no_vectors()
    check_aligned(gy, w, *vectors)
    image = gy, np.bool_(normalized), *vectors
    if _form(conv) != _ANY and conv.stride == 2 and conv.small <= _MOST_WEIGHTS:
        down, across = (_cells(size, conv.pad) for size in (conv.h, conv.w))
        groups = conv.n * down * blocks(across, _CELLS)
        count, block = blocks(groups, _THREADS // _LANES_3X3, _MOST_BLOCKS), (1, _THREADS)
        fused = normalized or epilogue.epilogue is not None
        name = f"conv2d_input_grad_few_3x3<{conv.big}, {_BOOLEANS[fused]}>"
    else:
        groups = conv.n * blocks(conv.h, conv.stride) * blocks(conv.w, conv.stride)
        block = _LANES, _THREADS // _LANES
        count = blocks(groups, block[1], _MOST_BLOCKS)
        name = f"conv2d_input_grad_few<{conv.big}>"
    arguments = struct(conv), *image, w, gx, *epilogue.with_moments(count)
    launch(name, (count,), *arguments, block=block)


def conv2d_weight_grad(x: Image, gy: Image, gw: Array, conv: Convolution) -> None:
    gy, vectors = to_read(gy)
    normalized, vectors = vectors is not None, vectors or no_vectors()
    check_aligned(gy, *vectors)
    form, across = _form(conv), blocks(conv.small, _COLUMNS)
    pixels = conv.n * conv.oh * conv.ow
    lanes = _LANES_OF_PIXELS.get(form, 8)
    parts = blocks(pixels, _PIXELS, max(1, 2 * split_k.FULL // across))
    parts = max(parts, blocks(pixels, _MOST_PIXELS * lanes))
    name = f"conv2d_weight_grad_few<{form}, {_BOOLEANS[normalized]}>"
    operands = struct(conv), array_of(x), gy, *vectors
    split_k.launch_in_parts(name, (across,), parts, operands, gw)


def _form(conv: Convolution) -> int:
    """The template argument ``big``."""
    exists = conv.kh == conv.kw == 3 and conv.small % CHUNK == 0 and conv.big in _FORMS
    return conv.big if exists else _ANY


def _cells(size: int, pad: int) -> int:
    """Pairs of pixels, from an even one of the padded image on, with one of ``size`` pixels."""
    return (size - 1 + pad) // 2 + 1 - pad // 2
