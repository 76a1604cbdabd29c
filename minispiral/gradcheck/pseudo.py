"""Eq. 11 by its own rules: it is no derivative, so there is none to compare it with.

What the paper says of the pseudo-gradient is checked on a random batch, through back-propagation:

- it is the product ``|dL/dsigma| * dLbar/dsigma * dsigma/dx`` that defines it;
- its weights are those of Eq. 7, found here as the derivative of ``L = -log F1`` by each sigma;
- their ratio (Eq. 13) is at least 1, tends to 1 where all is classified well, and to infinity
  where everything is taken for the majority class;
- no loss has it as gradient (footnote 2). A loss would have a Hessian, which is symmetric, and the
  Jacobian of Eq. 11 by the logits is not: `asymmetry` measures by how much, and `skew_by_hand` is
  what a derivation on paper says of it. docs/verification.md has that derivation.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.device import CPU, Device
from minispiral.gradcheck.derivatives import COMPLEX_STEP
from minispiral.gradcheck.protocol import gradcheck
from minispiral.gradcheck.report import Problem, Report
from minispiral.losses import Mask, cross_entropy, f1_loss, pseudo_f1
from minispiral.tensor import Tensor

Array = NDArray[Any]
Loss = Callable[[Tensor, Mask], Tensor]

TOLERANCE = 1e-11
FAR = 30.0  # a logit where sigma is 0 or 1 but for 1e-13
LEAST_ASYMMETRY = 1e-3  # of Eq. 11; a true gradient has rounding


def check_pseudo_f1(
    loss: Loss = pseudo_f1, name: str = "pseudo-f1", seed: int = 0, device: Device = CPU
) -> Report:
    """Check a loss that claims to hand back Eq. 11; ``report.rules`` has the number of each rule.

    Distances are relative to the largest number compared, with a tolerance of 1e-11. What rests on
    Jacobians is checked on the CPU, which has complex steps, all else on ``device``.
    """
    began = time.perf_counter()
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (2, 5, 7, 1))
    mask = rng.random(logits.shape) < 0.2
    mask.flat[:2] = True, False
    report = gradcheck(
        lambda logits: loss(logits, mask), {"logits": logits}, name=name, seed=seed, device=device
    )
    jacobians = {
        "cross-entropy": jacobian(cross_entropy, logits, mask),
        "Eq. 8": jacobian(f1_loss, logits, mask),
        "Eq. 11": jacobian(loss, logits, mask),
    }
    ours = jacobians["Eq. 11"]
    others = [logits, logits - 3, 3 * logits, -logits]
    rules = {
        "product of Eq. 11": _distance(gradient(loss, logits, mask, device), product(logits, mask)),
        "weights of Eq. 7": max(
            _distance(weights(loss, x, mask, device), weights_of_f1(x, mask)) for x in others
        ),
        "ratio at least 1": max(0.0, *(1 - ratio(loss, x, mask, device) for x in others)),
        "ratio tends to 1": abs(ratio(loss, np.where(mask, FAR, -FAR), mask, device) - 1),
        "ratio tends to infinity": _over(1, ratio(loss, np.full(mask.shape, -FAR), mask, device)),
        "asymmetry by hand": _distance(ours - ours.T, skew_by_hand(logits, mask)),
        **{f"symmetry of {known}": asymmetry(jacobians[known]) for known in list(jacobians)[:2]},
    }
    for rule, error in rules.items():
        if not error <= TOLERANCE:
            report.problems.append(Problem(rule, f"off by {error:.2e}"))
    report.rules |= rules
    report.error = max(report.rules.values())
    found = report.rules["asymmetry of Eq. 11"] = asymmetry(ours)
    if not found >= LEAST_ASYMMETRY:
        message = f"the Jacobian is symmetric but for {found:.1e}: some loss has this gradient"
        report.problems.append(Problem("footnote 2", message))
    report.seconds = time.perf_counter() - began
    return report


def gradient(loss: Loss, logits: Array, mask: Mask, device: Device = CPU) -> Array:
    """What the loss hands back to its logits, which may be complex on the CPU."""
    x = Tensor(device.put(logits))
    x.requires_grad = True  # of complex numbers too: they carry the complex step
    loss(x, mask).backward()
    assert x.grad is not None
    return device.get(x.grad)


def jacobian(loss: Loss, logits: Array, mask: Mask) -> Array:
    """``J[i, j]``: the derivative of the gradient of logit i by logit j, by complex steps."""
    columns = []
    for j in range(logits.size):
        moved = logits.astype(np.complex128)
        moved.flat[j] += 1j * COMPLEX_STEP
        columns.append(gradient(loss, moved, mask).imag.ravel() / COMPLEX_STEP)
    return np.stack(columns, axis=1)


def asymmetry(jacobian: Array) -> float:
    """``|J - J.T| / |J|`` in Frobenius norms: 0 for a Hessian, zeros too, at most 2."""
    return float(np.linalg.norm(jacobian - jacobian.T) / (np.linalg.norm(jacobian) or 1.0))


def skew_by_hand(logits: Array, mask: Mask) -> Array:
    """``J - J.T`` of Eq. 11, derived by hand.

    With ``S = sum_pos``, ``T = n_pos + sum_all`` and ``s`` for sigma, the entry (i, j) is::

        (1/S**2 - 1/T**2) (1 - s_i) (1 - s_j) (s_j - s_i)    both on crack
        s_i s_j (s_j - s_i) / T**2                           neither
        (1 - s_i) s_j (s_i + s_j - 1) / T**2                 i on crack, j not

    and minus the last for j on crack and i not.
    """
    sigma, crack = _sigmoid(logits).ravel(), mask.ravel()
    s, t = sigma[crack].sum(), crack.sum() + sigma.sum()
    si, sj = sigma[:, None], sigma[None, :]
    both = (1 / s**2 - 1 / t**2) * (1 - si) * (1 - sj) * (sj - si)
    neither = si * sj * (sj - si) / t**2
    mixed = (1 - si) * sj * (si + sj - 1) / t**2
    on, off = crack[:, None], crack[None, :]
    cases = [on & off, ~on & ~off, on & ~off]
    return np.select(cases, [both, neither, mixed], default=-mixed.T)


def product(logits: Array, mask: Mask) -> Array:
    """``|dL/dsigma| * dLbar/dsigma * dsigma/dx`` with Eq. 7 and Eq. 10 as they stand."""
    sigma = _sigmoid(logits)
    s, t = sigma[mask].sum(), mask.sum() + sigma.sum()
    weight = np.where(mask, 1 / s - 1 / t, 1 / t)
    cross_entropy = np.where(mask, -1 / sigma, 1 / (1 - sigma))
    result: Array = weight * cross_entropy * sigma * (1 - sigma)
    return result


def weights(loss: Loss, logits: Array, mask: Mask, device: Device = CPU) -> Array:
    """The gradient over that of cross-entropy: ``g / (sigma - 1)`` on crack, else ``g / sigma``."""
    share = _sigmoid(np.where(mask, -logits, logits))  # of the wrong answer
    result: Array = gradient(loss, logits, mask, device) / np.where(mask, -share, share)
    return result


def weights_of_f1(logits: Array, mask: Mask) -> Array:
    """``|dL/dsigma|`` of ``L = -log F1`` (Eq. 6), pixel by pixel, by complex steps."""
    result = np.empty(logits.shape)
    for i in np.ndindex(*logits.shape):
        sigma = _sigmoid(logits).astype(np.complex128)
        sigma[i] += 1j * COMPLEX_STEP
        loss = -np.log(2 * sigma[mask].sum() / (mask.sum() + sigma.sum()))
        result[i] = abs(loss.imag / COMPLEX_STEP)
    return result


def ratio(loss: Loss, logits: Array, mask: Mask, device: Device = CPU) -> float:
    """``r`` of Eq. 13: the least weight on crack over the greatest elsewhere, which may be 0."""
    found = weights(loss, logits, mask, device)
    return _over(float(found[mask].min()), float(found[~mask].max()))


def _over(a: float, b: float) -> float:
    return a / b if b else math.inf


def _sigmoid(x: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-x))
    return result


def _distance(a: Array, b: Array) -> float:
    return float(np.max(np.abs(a - b)) / np.max(np.abs(b)))
