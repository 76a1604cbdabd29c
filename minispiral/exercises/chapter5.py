"""Checks of chapter 5: weights and gradients derived from a score."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.exercises import Wrong, exercise
from minispiral.exercises.arrays import expect
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


def _number(result: Any, expected: float, call: str) -> None:
    if np.shape(result) != ():
        raise Wrong(f"{call} returned {type(result).__name__}, expected a number")
    if not abs(result - expected) <= 1e-9 * abs(expected):
        raise Wrong(f"{call} is {float(result):.9g}, expected {expected:.9g}")


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
            pair = answer(logits.copy(), crack.copy(), beta)
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise Wrong(f"{call} returned {type(pair).__name__}, expected a pair of numbers")
            total = beta**2 * n_pos + a
            on_crack, elsewhere = pair
            if np.shape(on_crack) == () and np.isclose(on_crack, 1 / total - 1 / s, rtol=1e-9):
                raise Wrong(f"{call}[0] is negative: return the sizes of the derivatives")
            if np.shape(elsewhere) == () and beta != 1:
                for forgotten, other in (("beta", n_pos + a), ("the square", beta * n_pos + a)):
                    if np.isclose(elsewhere, 1 / other, rtol=1e-9):
                        raise Wrong(f"{call}[1] is {elsewhere:.6g}, which forgets {forgotten}")
            _number(on_crack, 1 / s - 1 / total, f"{call}[0]")
            _number(elsewhere, 1 / total, f"{call}[1]")


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
        result = answer(logits.copy(), crack.copy())
        expected = _pseudo_iou(logits, crack)
        if isinstance(result, np.ndarray) and result.shape == logits.shape:
            sums = losses.sums(EQ_11, logits, crack)
            slope = sigmoid(np.where(crack, logits, -logits))
            for name, other in (
                ("is minus the pseudo-gradient", -expected),
                (
                    "is Eq. 11, the pseudo-gradient of F1",
                    losses.gradient(EQ_11, logits, crack, sums),
                ),
                ("is the true gradient of -log IoU, which vanishes", expected * slope),
            ):
                if np.allclose(result, other, rtol=1e-9, atol=0):
                    raise Wrong(f"{call} {name}")
        expect(result, expected, call)
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
            result = answer(logits.copy(), frozen.copy(), crack.copy())
            if np.shape(result) == ():
                thawed = float(np.sum(_weights(logits, crack) * terms))
                for name, other in (
                    ("is divided by the number of pixels", expected / logits.size),
                    ("is minus the loss", -expected),
                    ("takes the weights at logits instead of frozen", thawed),
                ):
                    if np.isclose(result, other, rtol=1e-9) and not np.isclose(other, expected):
                        raise Wrong(f"{call} {name}")
            _number(result, expected, call)


def _weights(logits: Array, crack: Mask) -> Array:
    """|Eq. 7| of each pixel."""
    on_crack, elsewhere = F1.weights(losses.sums(F1, logits, crack), logits.size)
    result: Array = np.where(crack, float(on_crack), float(elsewhere))
    return result
