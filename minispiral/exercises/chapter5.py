"""Checks of chapter 5: weights and gradients derived from a score."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.exercises import Wrong, exercise
from minispiral.exercises.arrays import expect, expect_number, expect_pair
from minispiral.kernels import losses
from minispiral.kernels.arithmetic import sigmoid

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Answer = Callable[..., Any]

F1, EQ_11 = losses.F1(), losses.PseudoF1()


def _batch(rng: np.random.Generator, *shape: int) -> tuple[Array, Mask]:
    """Random logits and a mask with pixels of both kinds; the first is crack that was found."""
    logits = rng.normal(-1, 2, shape)
    crack = rng.random(shape) < 0.3
    crack.flat[:2] = True, False
    logits.flat[0] = 2
    return logits, crack


def _answered(answer: Answer, call: str, *given: Any) -> Any:
    """What the answer returns for copies of what is given, which it must leave as they are."""
    copies = [one.copy() if isinstance(one, np.ndarray) else one for one in given]
    result = answer(*copies)
    if not all(map(np.array_equal, copies, given)):
        raise Wrong(f"{call} changed what it was given: make new arrays")
    return result


@exercise("5.1", function="f_beta_weights", difficulty=2)
def f_beta_weights(answer: Answer) -> None:
    """The weights of F-beta."""
    rng = np.random.default_rng()
    small = np.array([0.0, 0.0]), np.array([True, False])
    for logits, crack in (small, _batch(rng, 9), _batch(rng, 2, 5, 4, 1)):
        for beta in (1.0, 2.0, float(rng.uniform(0.3, 0.7))):
            n_pos, s, a = (float(number) for number in losses.sums(F1, logits, crack))
            given = f"logits {logits.tolist()} and crack {crack.tolist()}"
            if logits.size > 9:
                given = f"random logits {logits.shape}"
            call = f"for {given}, f_beta_weights(logits, crack, {beta:.3g})"
            pair = _answered(answer, call, logits, crack, beta)
            on_crack, elsewhere = expect_pair(pair, call, "of numbers")
            total = beta**2 * n_pos + a
            of_other = beta**2 / (n_pos + beta**2 * a)  # of F with precision weighted
            known = {
                "is negative: return the sizes of the derivatives": 1 / total - 1 / s,
                "is that of any other pixel: the crack pixel's comes first": 1 / total,
                "forgets that a crack pixel's sigma is in A, too": 1 / s,
                "adds the two terms: they have different signs": 1 / s + 1 / total,
                "weighs precision by beta, not recall": 1 / s - of_other,
                "forgets beta": 1 / s - 1 / (n_pos + a),
                "forgets the square of beta": 1 / s - 1 / (beta * n_pos + a),
            }
            expect_number(on_crack, 1 / s - 1 / total, f"{call}[0]", known)
            known = {
                "forgets beta": 1 / (n_pos + a),
                "forgets the square of beta": 1 / (beta * n_pos + a),
                "weighs precision by beta, not recall": of_other,
                "is negative: return the sizes of the derivatives": -1 / total,
                "has S where A belongs: false alarms count, too": 1 / (beta**2 * n_pos + s),
            }
            expect_number(elsewhere, 1 / total, f"{call}[1]", known)


@exercise("5.2", function="pseudo_iou", difficulty=2)
def pseudo_iou(answer: Answer) -> None:
    """A pseudo-gradient for the intersection over union."""
    rng = np.random.default_rng()
    small = np.array([1.0, -1.0]), np.array([True, False])
    for logits, crack in (small, _batch(rng, 3, 4), _batch(rng, 2, 5, 4, 1)):
        given = f"logits {logits.tolist()} and crack {crack.tolist()}"
        if logits.size > 2:
            given = f"random logits {logits.shape}"
        call = f"for {given}, pseudo_iou(logits, crack)"
        result = _answered(answer, call, logits, crack)
        expected = _pseudo_iou(logits, crack)
        n_pos, s, a = (float(number) for number in losses.sums(F1, logits, crack))
        union, right = n_pos + a - s, sigmoid(np.where(crack, logits, -logits))
        of_f1 = losses.gradient(EQ_11, logits, crack, losses.sums(EQ_11, logits, crack))
        known = {
            "is minus the pseudo-gradient": -expected,
            "is Eq. 11, the pseudo-gradient of F1": of_f1,
            "is the true gradient of -log IoU, which vanishes": expected * right,
            "is the weights alone: they multiply the gradient of the cross-entropy": np.where(
                crack, 1 / s, 1 / union
            ),
            "takes the union to grow with sigma on crack: there A - S stays": (1 - right)
            * np.where(crack, -(1 / s - 1 / union), 1 / union),
            "counts S twice in the union": (1 - right) * np.where(crack, -1 / s, 1 / (n_pos + a)),
            "is divided by the number of pixels": expected / logits.size,
            "has all weights of one sign": np.abs(expected),
        }
        expect(result, expected, call, known=known)
    _check_far(answer)


def _check_far(answer: Answer) -> None:
    """Logits so large that 1 - sigma loses all digits and exp(-x) overflows."""
    logits = np.array([40.0, -1000.0, -40.0, 1000.0, 1000.0])
    crack = np.array([True, True, False, False, True])
    call = f"for logits {logits.tolist()} and crack {crack.tolist()}, pseudo_iou(logits, crack)"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            result = answer(logits.copy(), crack.copy())
        except RuntimeWarning as warning:
            raise Wrong(f"{call} made NumPy warn: {warning}") from None
    expected = _pseudo_iou(logits, crack)
    expect(result, expected, call)
    for i in np.flatnonzero(~np.isclose(result, expected, rtol=1e-10, atol=0)):
        raise Wrong(
            f"{call}[{i}] is {result[i]:.6g}, expected {expected[i]:.6g}: do not subtract sigma "
            f"from 1 where it is nearly 1"
        )


def _pseudo_iou(logits: Array, crack: Mask) -> Array:
    n_pos, s, a = losses.sums(F1, logits, crack)
    wrong = sigmoid(np.where(crack, -logits, logits))
    result: Array = wrong * np.where(crack, -1 / s, 1 / (n_pos + a - s))
    return result


@exercise("5.3", function="frozen_loss", difficulty=1)
def frozen_loss(answer: Answer) -> None:
    """The loss behind one step of Eq. 11."""
    rng = np.random.default_rng()
    small = np.array([0.0, 1.0]), np.array([True, False])
    for frozen, crack in (small, _batch(rng, 7), _batch(rng, 2, 3, 4, 1)):
        weight = _weights(frozen, crack)
        for moved in (0.0, 1.5):
            logits = np.clip(frozen + moved * rng.standard_normal(frozen.shape), -10, 10)
            given = f"random frozen {frozen.shape}, logits {'the same' if not moved else 'others'}"
            if frozen.size == 2:
                given = f"frozen {frozen.tolist()}, logits {logits.round(3).tolist()}"
                given += f" and crack {crack.tolist()}"
                logits = logits.round(3)
            call = f"for {given}, frozen_loss(logits, frozen, crack)"
            terms = np.logaddexp(0, np.where(crack, -logits, logits))
            expected = float(np.sum(weight * terms))
            result = _answered(answer, call, logits, frozen, crack)
            s, a = (sigmoid(logits)[where].sum() for where in (crack, ...))
            known = {
                "is divided by the number of pixels": expected / logits.size,
                "is minus the loss": -expected,
                "takes the weights at logits instead of frozen": np.sum(
                    _weights(logits, crack) * terms
                ),
                "takes the cross-entropy at frozen instead of logits": np.sum(
                    weight * np.logaddexp(0, np.where(crack, -frozen, frozen))
                ),
                "has no weights: it is the cross-entropy alone": np.sum(terms),
                "takes the weights with the signs of Eq. 7: their sizes are meant": np.sum(
                    np.where(crack, -weight, weight) * terms
                ),
                "exchanges the weights of the two classes": np.sum(
                    np.where(crack, weight[~crack][0], weight[crack][0]) * terms
                ),
                "is -log F1, whose gradient is Eq. 8": -np.log(2 * s / (crack.sum() + a)),
                "has the terms of the other class": np.sum(
                    weight * np.logaddexp(0, np.where(crack, logits, -logits))
                ),
            }
            expect_number(result, expected, call, known)


def _weights(logits: Array, crack: Mask) -> Array:
    """|Eq. 7| of each pixel."""
    on_crack, elsewhere = F1.weights(losses.sums(F1, logits, crack), logits.size)
    result: Array = np.where(crack, float(on_crack), float(elsewhere))
    return result
