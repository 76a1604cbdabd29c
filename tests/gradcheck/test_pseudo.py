"""Eq. 11 by its own rules: what they find, and footnote 2 by hand."""

import numpy as np
import pytest

from minispiral.gradcheck import check_pseudo_f1, pseudo
from minispiral.gradcheck.check import OwnRules
from minispiral.gradcheck.pseudo import asymmetry, jacobian, skew_by_hand
from minispiral.losses import PseudoLossFunction, cross_entropy, f1_loss, pseudo_f1


def test_two_pixels_by_hand():
    """sigma = 1/2 on crack and 3/4 beside it: 1/2 * 3/4 * 1/4 / (9/4)**2 = 1/54."""
    logits = np.log([1.0, 3.0]).reshape(1, 1, 2, 1)
    mask = np.array([True, False]).reshape(1, 1, 2, 1)
    found = jacobian(pseudo_f1, logits, mask)
    assert found[0, 1] - found[1, 0] == pytest.approx(1 / 54, rel=1e-14)
    np.testing.assert_allclose(skew_by_hand(logits, mask), [[0, 1 / 54], [-1 / 54, 0]])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_derivation_by_hand_agrees_entry_by_entry(rng, share):
    logits, mask = rng.normal(0, 3, (2, 3, 4, 1)), rng.random((2, 3, 4, 1)) < share
    mask.flat[:2] = True, False
    found = jacobian(pseudo_f1, logits, mask)
    expected = skew_by_hand(logits, mask)
    np.testing.assert_allclose(found - found.T, expected, atol=1e-14 * np.abs(found).max())
    assert asymmetry(found) > 1e-9  # little where all probabilities are near 0 and 1


@pytest.mark.parametrize("loss", [cross_entropy, f1_loss])
def test_true_gradients_have_symmetric_jacobians(rng, loss):
    logits, mask = rng.normal(0, 3, (2, 3, 4, 1)), rng.random((2, 3, 4, 1)) < 0.4
    mask.flat[:2] = True, False
    found = jacobian(loss, logits, mask)
    assert np.abs(found).max() > 0
    assert asymmetry(found) < 1e-14


def test_where_sigma_is_half_everywhere_the_asymmetry_is_none():
    logits, mask = np.zeros((1, 2, 3, 1)), np.arange(6).reshape(1, 2, 3, 1) < 2
    assert asymmetry(jacobian(pseudo_f1, logits, mask)) < 1e-15


@pytest.mark.parametrize("loss", [cross_entropy, f1_loss])
def test_a_loss_with_a_true_gradient_is_not_passed_for_eq_11(loss):
    found = check_pseudo_f1(loss)
    assert {"footnote 2", "weights of Eq. 7"} <= {problem.rule for problem in found.problems}


@pytest.mark.parametrize(
    ("without", "ratio", "rules"),
    [
        ("background", np.inf, {"weights of Eq. 7", "ratio tends to 1"}),
        ("crack", 0, {"weights of Eq. 7", "ratio at least 1", "ratio tends to infinity"}),
        ("both", np.inf, {"weights of Eq. 7", "footnote 2"}),
    ],
)
def test_a_gradient_of_zero_is_no_division_by_zero(without, ratio, rules, monkeypatch, rng):
    original = PseudoLossFunction.backward

    def backward(self, gy):
        gx = original(self, gy)
        return np.where(
            {"background": ~self.mask, "crack": self.mask, "both": True}[without], 0, gx
        )

    monkeypatch.setattr(PseudoLossFunction, "backward", backward)
    mask = np.arange(6).reshape(1, 2, 3, 1) < 2
    assert pseudo.ratio(pseudo_f1, rng.normal(0, 1, mask.shape), mask) == ratio
    assert rules <= {problem.rule for problem in check_pseudo_f1().problems}


@pytest.mark.parametrize("seed", range(5))
def test_eq_11_passes_on_any_batch(seed, rng):
    report = check_pseudo_f1(seed=int(rng.integers(2**32)))
    assert report.passed, report
    assert not report.exact
    assert report.rules["asymmetry of Eq. 11"] > 0.01


def test_a_gradient_over_the_number_of_pixels_is_not_eq_11(monkeypatch):
    original = PseudoLossFunction.backward
    monkeypatch.setattr(
        PseudoLossFunction, "backward", lambda self, gy: original(self, gy) / self.mask.size
    )
    problems = {problem.rule for problem in check_pseudo_f1().problems}
    assert {"product of Eq. 11", "weights of Eq. 7"} <= problems
    assert "ratio at least 1" not in problems


def test_the_check_by_own_rules_checks_the_loss_it_is_given():
    named = OwnRules("cross-entropy", lambda rng: {"loss": cross_entropy}).run()
    assert named.name == "cross-entropy"
    assert "weights of Eq. 7" in {problem.rule for problem in named.problems}
