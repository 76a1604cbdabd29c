"""Typical wrong answers of chapter 7; each docstring is what the refusal must say."""

import numpy as np

from tests.book.told import told


def window(image, top, left, side):
    return image[top : top + side, left : left + side]


def scaled(x):
    return x.astype(np.float32) / 127.5 - 1


def wrong_7_1_last_window_never(photo, mask, side, rng):
    """the window at row 0, column 3, .*never came"""
    h, w = mask.shape
    top, left = rng.integers(h - side), rng.integers(w - side)
    down, right = rng.choice((-1, 1), size=2)
    x, y = window(photo, top, left, side), window(mask, top, left, side)
    return scaled(x[::down, ::right]), y[::down, ::right]


def wrong_7_1_mask_not_flipped(photo, mask, side, rng):
    """y does not belong to x"""
    h, w = mask.shape
    top, left = rng.integers(h - side + 1), rng.integers(w - side + 1)
    down, right = rng.choice((-1, 1), size=2)
    return scaled(window(photo, top, left, side)[::down, ::right]), window(mask, top, left, side)


def wrong_7_1_from_0_to_1(photo, mask, side, rng):
    r"""is not v / 127.5 - 1"""
    x, y = window(photo, 0, 0, side), window(mask, 0, 0, side)
    return x.astype(np.float32) / 255, y


def wrong_7_1_only_left_and_right(photo, mask, side, rng):
    """flipped up and down, never came|flipped both ways, never came"""
    h, w = mask.shape
    top, left = rng.integers(h - side + 1), rng.integers(w - side + 1)
    right = rng.choice((-1, 1))
    x, y = window(photo, top, left, side), window(mask, top, left, side)
    return scaled(x[:, ::right]), y[:, ::right]


def wrong_7_2_biased(batches, momentum):
    """biased variances"""
    mean, var = np.zeros(batches[0].shape[1]), np.ones(batches[0].shape[1])
    for x in batches:
        mean = (1 - momentum) * mean + momentum * x.mean(axis=0)
        var = (1 - momentum) * var + momentum * x.var(axis=0)
    return mean, var


def wrong_7_2_momentum_the_other_way(batches, momentum):
    r"""mean moves by 1 - momentum"""
    mean, var = np.zeros(batches[0].shape[1]), np.ones(batches[0].shape[1])
    for x in batches:
        mean = momentum * mean + (1 - momentum) * x.mean(axis=0)
        var = momentum * var + (1 - momentum) * x.var(axis=0, ddof=1)
    return mean, var


def wrong_7_2_begun_by_the_first_batch(batches, momentum):
    """mean begins at the mean of the first batch"""
    mean, var = batches[0].mean(axis=0), batches[0].var(axis=0, ddof=1)
    for x in batches[1:]:
        mean = (1 - momentum) * mean + momentum * x.mean(axis=0)
        var = (1 - momentum) * var + momentum * x.var(axis=0, ddof=1)
    return mean, var


def wrong_7_3_equal_scores_one_by_one(scores, labels):
    """lets equal scores enter one after the other"""
    order = np.argsort(-scores, kind="stable")
    hits = labels[order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


def wrong_7_3_nothing_found(scores, labels):
    r"""for scores \[.*\] and labels \[.*\] average_precision returned 0, expected"""
    detected = scores >= 99
    return 2 * np.count_nonzero(detected & labels) / (detected.sum() + labels.sum())


wrong_7_1_nothing = told(
    "returned .*None.*, expected the pair", lambda photo, mask, side, rng: None
)
wrong_7_2_the_mean_alone = told(
    "returned .*, expected the pair", lambda batches, momentum: batches[-1].mean(axis=0)
)
wrong_7_3_nothing = told("returned .*None.*, expected a number", lambda scores, labels: None)
