"""Wrong answers to chapter 5; the docstring is what the check says of them."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sums(logits, crack):
    """N_1, S and A."""
    sigma = sigmoid(logits)
    return crack.sum(), sigma[crack].sum(), sigma.sum()


def wrong_5_1_without_beta(logits, crack, beta):
    r"""\[1\] is .*, which forgets beta"""
    n, s, a = sums(logits, crack)
    return 1 / s - 1 / (n + a), 1 / (n + a)


def wrong_5_1_without_square(logits, crack, beta):
    r"""\[1\] is .*, which forgets the square"""
    n, s, a = sums(logits, crack)
    return 1 / s - 1 / (beta * n + a), 1 / (beta * n + a)


def wrong_5_1_signed(logits, crack, beta):
    """is negative: return the sizes"""
    n, s, a = sums(logits, crack)
    return 1 / (beta**2 * n + a) - 1 / s, 1 / (beta**2 * n + a)


def wrong_5_1_beta_on_the_wrong_side(logits, crack, beta):
    r"""f_beta_weights\(logits, crack, 2\)\[\d\] is .*, expected"""
    n, s, a = sums(logits, crack)
    return 1 / s - 1 / (n + beta**2 * a), 1 / (n + beta**2 * a)


def wrong_5_1_an_array(logits, crack, beta):
    """returned ndarray, expected a pair of numbers"""
    n, s, a = sums(logits, crack)
    return np.where(crack, 1 / s - 1 / (beta**2 * n + a), 1 / (beta**2 * n + a))


def wrong_5_2_true_gradient(logits, crack):
    """is the true gradient of -log IoU, which vanishes"""
    n, s, a = sums(logits, crack)
    sigma = sigmoid(logits)
    return np.where(crack, -1 / s, 1 / (n + a - s)) * sigma * (1 - sigma)


def wrong_5_2_of_f1(logits, crack):
    """is Eq. 11, the pseudo-gradient of F1"""
    n, s, a = sums(logits, crack)
    sigma = sigmoid(logits)
    return np.where(crack, -(1 / s - 1 / (n + a)) * (1 - sigma), sigma / (n + a))


def wrong_5_2_sign(logits, crack):
    """is minus the pseudo-gradient"""
    n, s, a = sums(logits, crack)
    sigma = sigmoid(logits)
    return np.where(crack, (1 - sigma) / s, -sigma / (n + a - s))


def wrong_5_2_exponential_overflows(logits, crack):
    """made NumPy warn: overflow"""
    n, s, a = sums(logits, crack)
    sigma = sigmoid(logits)
    return np.where(crack, -(1 - sigma) / s, sigma / (n + a - s))


def wrong_5_2_one_minus_sigma(logits, crack):
    """do not subtract sigma from 1 where it is nearly 1"""
    e = np.exp(-np.abs(logits))
    sigma = np.where(logits >= 0, 1, e) / (1 + e)
    s = sigma[crack].sum()
    union = crack.sum() + sigma[~crack].sum()
    return np.where(crack, -(1 - sigma) / s, sigma / union)


def wrong_5_3_weights_of_the_moment(logits, frozen, crack):
    """takes the weights at logits instead of frozen"""
    return weighted(logits, logits, crack)


def wrong_5_3_a_mean(logits, frozen, crack):
    """is divided by the number of pixels"""
    return weighted(logits, frozen, crack) / logits.size


def wrong_5_3_the_value_of_f1(logits, frozen, crack):
    r"""frozen_loss\(logits, frozen, crack\) is .*, expected"""
    n, s, a = sums(logits, crack)
    return -np.log(2 * s / (n + a))


def wrong_5_3_minus(logits, frozen, crack):
    """is minus the loss"""
    return -weighted(logits, frozen, crack)


def weighted(logits, frozen, crack):
    n, s, a = sums(frozen, crack)
    weight = np.where(crack, 1 / s - 1 / (n + a), 1 / (n + a))
    return np.sum(weight * np.logaddexp(0, np.where(crack, -logits, logits)))
