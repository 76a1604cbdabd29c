"""Typical wrong answers of chapter 6; each docstring is what the refusal must say."""

from itertools import pairwise

import numpy as np

from minispiral.networks.table1 import DECODER_CHANNELS, ENCODER_CHANNELS


def wrong_6_1_bias_before_batch_norm(depths, connection):
    r"""parameters\(\(1,\), 'concat'\) returned 2501, expected 2436"""
    count = (len(depths) if connection == "concat" else 1) + 1
    for k, depth in enumerate(depths):
        seen = 3 if k == 0 else k if connection == "concat" else 1
        c = [seen, *ENCODER_CHANNELS[:depth], *reversed(DECODER_CHANNELS[:depth])]
        count += sum(9 * ci * co + 3 * co for ci, co in pairwise(c))
    return count


def wrong_6_1_always_concatenates(depths, connection):
    r"""parameters\(\(.*\), 'sum'\) returned \d+, expected \d+"""
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
    """4 modules and 'sum'.* is .*, expected"""
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
    """returned .*, expected"""
    a = b = p
    for depth in reversed(depths[:k]):
        for _ in range(depth):
            a, b = a // 2, b // 2
        for _ in range(depth):
            a, b = 2 * a, 2 * b + 2
    return a, b


def wrong_6_3_module_alone(p, depths, k):
    r"""field\(\d+, \(1, 2\), 2\) returned .*, expected"""
    a = b = p
    for _ in range(depths[k - 1]):
        a, b = -(-(a - 2) // 2), b // 2
    for _ in range(depths[k - 1]):
        a, b = 2 * a, 2 * b + 2
    return a, b
