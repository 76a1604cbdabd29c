"""Typical wrong answers of chapter 6; each docstring is what the refusal must say."""

from itertools import pairwise

import numpy as np

from minispiral.networks.table1 import DECODER_CHANNELS, ENCODER_CHANNELS
from tests.book.told import told


def wrong_6_1_bias_before_batch_norm(depths, connection):
    r"""returned 2501, expected 2436: it counts a bias in front of batch norm"""
    count = (len(depths) if connection == "concat" else 1) + 1
    for k, depth in enumerate(depths):
        seen = 3 if k == 0 else k if connection == "concat" else 1
        c = [seen, *ENCODER_CHANNELS[:depth], *reversed(DECODER_CHANNELS[:depth])]
        count += sum(9 * ci * co + 3 * co for ci, co in pairwise(c))
    return count


def wrong_6_1_always_concatenates(depths, connection):
    r"""'sum'\) returned \d+, expected \d+: it counts as for 'concat'"""
    count = len(depths) + 1
    for k, depth in enumerate(depths):
        c = [k or 3, *ENCODER_CHANNELS[:depth], *reversed(DECODER_CHANNELS[:depth])]
        count += sum(9 * ci * co + 2 * co for ci, co in pairwise(c))
    return count


def wrong_6_2_picture_goes_on(x, modules, weights, bias, connection):
    """2 modules and 'concat': module 2 was called with an array of shape .*, expected 1 chan"""
    seen = x
    maps = []
    for module in modules:
        maps.append(module(seen))
        seen = np.concatenate([seen, maps[-1]], axis=3)
    return (np.concatenate(maps, axis=3) @ weights + bias)[..., None]


def wrong_6_2_sum_of_the_last_two(x, modules, weights, bias, connection):
    """takes the last two maps where 'sum' means all"""
    maps = [modules[0](x)]

    def seen():
        if connection == "concat":
            return np.concatenate(maps, axis=3)
        return sum(maps[-2:]) if connection == "sum" else maps[-1]

    for module in modules[1:]:
        maps.append(module(seen()))
    return (seen() @ weights + bias)[..., None]


def wrong_6_2_keeps_no_channel(x, modules, weights, bias, connection):
    r"""shape \(2, 3, 5\), expected \(2, 3, 5, 1\)"""
    maps = [modules[0](x)]
    for module in modules[1:]:
        maps.append(module(np.concatenate(maps, axis=3) if connection == "concat" else maps[-1]))
    return np.concatenate(maps, axis=3) @ weights + bias


def wrong_6_3_one_source_for_all(p, depths, k):
    """an even output of a decoder has two sources"""
    a = b = p
    for depth in reversed(depths[:k]):
        for _ in range(depth):
            a, b = a // 2, b // 2
        for _ in range(depth):
            a, b = 2 * a, 2 * b + 2
    return a, b


def wrong_6_3_module_alone(p, depths, k):
    r"""field\(\d+, \(1, 2\), 2\) returned .*: what module k sees are maps, which saw more"""
    a = b = p
    for _ in range(depths[k - 1]):
        a, b = -(-(a - 2) // 2), b // 2
    for _ in range(depths[k - 1]):
        a, b = 2 * a, 2 * b + 2
    return a, b


def counted(depths, connection, per_output=2, seen=None, up=lambda c: c[::-1], last=0):
    """An answer to 6.1; ``seen``: channels of a later module, ``last``: off in the last layer."""
    wide = connection == "concat"
    count = (len(depths) if wide else 1) + 1 + last
    for k, depth in enumerate(depths):
        first = (seen(k) if seen and k else (k if wide else 1)) if k else 3
        c = [first, *ENCODER_CHANNELS[:depth], *up(DECODER_CHANNELS[:depth])]
        count += sum(9 * ci * co + per_output * co for ci, co in pairwise(c))
    return count


wrong_6_1_moments = told("counts batch norm's moments", lambda d, c: counted(d, c, 4))
wrong_6_1_no_batch_norm = told("forgets gamma and beta", lambda d, c: counted(d, c, 0))
wrong_6_1_gamma_only = told("there are two", lambda d, c: counted(d, c, 1))
wrong_6_1_no_bias = told("forgets the bias of the last layer", lambda d, c: counted(d, c, last=-1))
wrong_6_1_no_last_layer = told(
    "forgets the last layer",
    lambda d, c: counted(d, c, last=-1 - (len(d) if c == "concat" else 1)),
)
wrong_6_1_picture_for_all = told(
    "lets every module see the picture, but", lambda d, c: counted(d, c, seen=lambda k: 3)
)
wrong_6_1_picture_beside_maps = told(
    "see the picture beside the maps", lambda d, c: counted(d, c, seen=lambda k: 3 + k)
)
wrong_6_1_decoders_of_table_1 = told(
    "the deepest comes first", lambda d, c: counted(d, c, up=lambda channels: channels)
)
wrong_6_1_nothing = told("returned None", lambda depths, connection: None)


def wired(seen_by, end=lambda logits, bias: logits + bias):
    """An answer to 6.2 in which a module sees so much of the list of maps before it."""

    def answer(x, modules, weights, bias, connection):
        maps = [modules[0](x)]
        for module in modules[1:]:
            maps.append(module(seen_by(maps, connection)))
        return end(seen_by(maps, connection) @ weights[:, None], bias)

    return answer


def seen(maps, connection):
    if connection == "concat":
        return np.concatenate(maps, axis=3)
    return sum(maps) if connection == "sum" else maps[-1]


wrong_6_2_no_bias = told("forgets the bias", wired(seen, lambda logits, bias: logits))
wrong_6_2_probability = told(
    "is the probability", wired(seen, lambda logits, bias: 1 / (1 + np.exp(-logits - bias)))
)
wrong_6_2_newest_first = told(
    "has the newest map first",
    wired(lambda maps, c: seen(maps[::-1] if c == "concat" else maps, c)),
)
wrong_6_2_mean = told(
    "takes the mean where 'sum'",
    wired(lambda maps, c: seen(maps, c) / (len(maps) if c == "sum" else 1)),
)
wrong_6_2_first_map = told(
    "the first map in the place of the newest",
    wired(lambda maps, c: maps[0] if c == "none" else seen(maps, c)),
)
wrong_6_2_sum_is_none = told(
    "takes the newest map where 'sum'",
    wired(lambda maps, c: seen(maps, "none" if c == "sum" else c)),
)
wrong_6_2_always_concatenates = told(
    "fails with ValueError|was called with", wired(lambda maps, c: np.concatenate(maps, axis=3))
)


def wrong_6_2_calls_again(x, modules, weights, bias, connection):
    """called module 1 \\d+ times, expected once"""
    modules[0](x)
    return wired(seen)(x, modules, weights, bias, connection)


def way(depths, p, encoders_first=False):
    a = b = p
    for depth in depths:
        for up in (False, True) if encoders_first else (True, False):
            for _ in range(depth):
                a, b = (-(-(a - 2) // 2), b // 2) if up else (2 * a, 2 * b + 2)
    return a, b


wrong_6_3_forwards = told("begin with module k", lambda p, depths, k: way(depths[:k], p))
wrong_6_3_one_too_few = told(
    "goes through module k, too", lambda p, depths, k: way(depths[: k - 1][::-1], p)
)
wrong_6_3_all_modules = told("modules behind the k-th", lambda p, depths, k: way(depths[::-1], p))
wrong_6_3_encoders_first = told(
    "meets the decoders of a module before its encoders",
    lambda p, depths, k: way(depths[:k][::-1], p, encoders_first=True),
)
wrong_6_3_open_end = told(
    "the last pixel itself belongs",
    lambda p, depths, k: (way(depths[:k][::-1], p)[0], way(depths[:k][::-1], p)[1] + 1),
)
wrong_6_3_last_first = told(
    "the first pixel comes first", lambda p, depths, k: way(depths[:k][::-1], p)[::-1]
)
wrong_6_3_width = told(
    "returned int, expected the pair",
    lambda p, depths, k: way(depths[:k][::-1], p)[1] - way(depths[:k][::-1], p)[0] + 1,
)
