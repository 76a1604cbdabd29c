"""Wrong answers to chapter 5; the docstring is what the check says of them."""

import numpy as np

from tests.book.told import told


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sums(logits, crack):
    """N_1, S and A."""
    sigma = sigmoid(logits)
    return crack.sum(), sigma[crack].sum(), sigma.sum()


def wrong_5_1_without_beta(logits, crack, beta):
    """forgets beta"""
    n, s, a = sums(logits, crack)
    return 1 / s - 1 / (n + a), 1 / (n + a)


def wrong_5_1_without_square(logits, crack, beta):
    """forgets the square of beta"""
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
    """returned ndarray, expected the pair of numbers"""
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
    """is -log F1, whose gradient is Eq. 8"""
    n, s, a = sums(logits, crack)
    return -np.log(2 * s / (n + a))


def wrong_5_3_minus(logits, frozen, crack):
    """is minus the loss"""
    return -weighted(logits, frozen, crack)


def weighted(logits, frozen, crack):
    n, s, a = sums(frozen, crack)
    weight = np.where(crack, 1 / s - 1 / (n + a), 1 / (n + a))
    return np.sum(weight * np.logaddexp(0, np.where(crack, -logits, logits)))


def _weights(pair):
    """An answer to 5.1 from N_1, S, A and beta."""
    return lambda logits, crack, beta: pair(*sums(logits, crack), beta)


wrong_5_1_exchanged = told(
    "the crack pixel's comes first",
    _weights(lambda n, s, a, b: (1 / (b * b * n + a), 1 / s - 1 / (b * b * n + a))),
)
wrong_5_1_sigma_in_one_sum = told(
    "a crack pixel's sigma is in A, too", _weights(lambda n, s, a, b: (1 / s, 1 / (b * b * n + a)))
)
wrong_5_1_added = told(
    "adds the two terms",
    _weights(lambda n, s, a, b: (1 / s + 1 / (b * b * n + a), 1 / (b * b * n + a))),
)
wrong_5_1_precision = told(
    "weighs precision by beta, not recall",
    _weights(lambda n, s, a, b: (1 / s - b * b / (n + b * b * a), b * b / (n + b * b * a))),
)
wrong_5_1_false_alarms = told(
    "false alarms count, too",
    _weights(lambda n, s, a, b: (1 / s - 1 / (b * b * n + a), 1 / (b * b * n + s))),
)
wrong_5_1_nothing = told("returned None", lambda logits, crack, beta: None)


def wrong_5_1_changes_the_logits(logits, crack, beta):
    """changed what it was given"""
    n, s, a = sums(logits, crack)
    logits *= 2
    return 1 / s - 1 / (beta**2 * n + a), 1 / (beta**2 * n + a)


def _iou(gradient):
    """An answer to 5.2 from N_1, S, A, crack and the factor that tells how wrong a pixel is."""

    def answer(logits, crack):
        return gradient(*sums(logits, crack), crack, sigmoid(np.where(crack, -logits, logits)))

    return answer


wrong_5_2_weights_alone = told(
    "is the weights alone", _iou(lambda n, s, a, crack, g: np.where(crack, 1 / s, 1 / (n + a - s)))
)
wrong_5_2_union_grows = told(
    "takes the union to grow with sigma on crack",
    _iou(lambda n, s, a, crack, g: g * np.where(crack, 1 / (n + a - s) - 1 / s, 1 / (n + a - s))),
)
wrong_5_2_twice = told(
    "counts S twice", _iou(lambda n, s, a, crack, g: g * np.where(crack, -1 / s, 1 / (n + a)))
)
wrong_5_2_mean = told(
    "is divided by the number of pixels",
    _iou(lambda n, s, a, crack, g: g * np.where(crack, -1 / s, 1 / (n + a - s)) / g.size),
)
wrong_5_2_without_signs = told(
    "all weights of one sign",
    _iou(lambda n, s, a, crack, g: g * np.where(crack, 1 / s, 1 / (n + a - s))),
)
wrong_5_2_two_numbers = told(
    "returned tuple, expected an array", _iou(lambda n, s, a, crack, g: (1 / s, 1 / (n + a - s)))
)

wrong_5_3_other_moment = told(
    "takes the cross-entropy at frozen",
    lambda logits, frozen, crack: (
        weighted(frozen, frozen, crack)
        if logits is frozen or not np.array_equal(logits, frozen)
        else weighted(logits, frozen, crack)
    ),
)
wrong_5_3_unweighted = told(
    "has no weights: it is the cross-entropy alone",
    lambda logits, frozen, crack: np.sum(np.logaddexp(0, np.where(crack, -logits, logits))),
)
wrong_5_3_other_class = told(
    "has the terms of the other class",
    lambda logits, frozen, crack: weighted(-logits, frozen, crack),
)
wrong_5_3_other_weights = told(
    "exchanges the weights of the two classes",
    lambda logits, frozen, crack: _weighted_by(
        logits, crack, *wrong_5_1_exchanged(frozen, crack, 1)
    ),
)
wrong_5_3_signed = told(
    "takes the weights with the signs of Eq. 7",
    lambda logits, frozen, crack: _weighted_by(logits, crack, *wrong_5_1_signed(frozen, crack, 1)),
)
wrong_5_3_each_pixel = told(
    "returned ndarray, expected a number",
    lambda logits, frozen, crack: np.logaddexp(0, np.where(crack, -logits, logits)),
)


def _weighted_by(logits, crack, on_crack, elsewhere):
    weight = np.where(crack, on_crack, elsewhere)
    return np.sum(weight * np.logaddexp(0, np.where(crack, -logits, logits)))
