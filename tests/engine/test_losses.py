"""The losses of Section 3 against plain loops over the paper's formulas."""

import math

import numpy as np
import pytest

from minispiral.losses import LOSSES, cross_entropy, f1_loss, focal, pseudo_f1
from minispiral.tensor import Tensor


@pytest.fixture
def batch(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    logits = rng.normal(0, 3, (2, 7, 5, 1))
    mask = rng.random(logits.shape) < 0.2
    mask[0, 0, 0] = True
    return logits, mask


def gradient(loss, logits: np.ndarray, mask: np.ndarray) -> np.ndarray:
    x = Tensor(logits, requires_grad=True)
    loss(x, mask).backward()
    assert x.grad is not None
    return x.grad


def paper_sums(logits: np.ndarray, mask: np.ndarray) -> tuple[int, float, float]:
    n_pos, positives, everything = 0, [], []
    for x, label in zip(logits.flat, mask.flat, strict=True):
        sigma = 1 / (1 + math.exp(-x))
        everything.append(sigma)
        if label:
            n_pos += 1
            positives.append(sigma)
    return n_pos, math.fsum(positives), math.fsum(everything)


def test_pseudo_gradient_is_equation_11(batch) -> None:
    logits, mask = batch
    n_pos, sum_pos, sum_all = paper_sums(logits, mask)
    expected = np.empty_like(logits)
    for i, x in np.ndenumerate(logits):
        sigma = 1 / (1 + math.exp(-x))
        if mask[i]:
            expected[i] = -(1 / sum_pos - 1 / (n_pos + sum_all)) / (1 + math.exp(x))  # 1 - sigma
        else:
            expected[i] = 1 / (n_pos + sum_all) * sigma
    np.testing.assert_allclose(gradient(pseudo_f1, logits, mask), expected, rtol=1e-12)


def test_pseudo_gradient_is_the_product_of_the_paper(batch) -> None:
    """|Eq. 7| times the derivative of Eq. 10 times the derivative of sigma."""
    logits, mask = batch
    n_pos, sum_pos, sum_all = paper_sums(logits, mask)
    sigma, one_minus_sigma = 1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(logits))
    weight = np.where(mask, 1 / sum_pos - 1 / (n_pos + sum_all), 1 / (n_pos + sum_all))
    eq_10 = np.where(mask, -1 / sigma, 1 / one_minus_sigma)
    expected = weight * eq_10 * sigma * one_minus_sigma
    np.testing.assert_allclose(gradient(pseudo_f1, logits, mask), expected, rtol=1e-12)


def test_pseudo_f1_has_the_value_of_f1_and_says_it_is_not_exact(batch) -> None:
    logits, mask = batch
    n_pos, sum_pos, sum_all = paper_sums(logits, mask)
    expected = -math.log(2 * sum_pos / (n_pos + sum_all))
    for loss, exact in ((f1_loss, True), (pseudo_f1, False)):
        value = loss(Tensor(logits, requires_grad=True), mask)
        assert value.creator.exact == exact
        np.testing.assert_allclose(value.data, expected, rtol=1e-12)


def test_cross_entropy_is_equation_10_over_n(batch) -> None:
    logits, mask = batch
    terms = [
        -math.log(1 / (1 + math.exp(-x if label else x)))
        for x, label in zip(logits.flat, mask.flat, strict=True)
    ]
    expected = math.fsum(terms) / len(terms)
    np.testing.assert_allclose(cross_entropy(Tensor(logits), mask).data, expected, rtol=1e-12)


def test_losses_are_had_by_name_with_their_parameters(batch) -> None:
    logits, mask = batch
    by_name = LOSSES["focal"](Tensor(logits), mask, alpha=0.5, gamma=0.0).data
    assert by_name == focal(Tensor(logits), mask, 0.5, 0.0).data
    np.testing.assert_allclose(by_name, cross_entropy(Tensor(logits), mask).data / 2, rtol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_linear_in_gy(name: str, batch, rng) -> None:
    logits, mask = batch
    gradients = []
    for gy in (1.0, rng.normal()):
        x = Tensor(logits, requires_grad=True)
        LOSSES[name](x, mask).backward(gy)
        gradients.append(x.grad / gy)
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("extreme", [-1e4, 1e4])
def test_saturated_logits_stay_finite(name: str, extreme: float, dtype: type) -> None:
    logits = np.full((1, 4, 4, 1), extreme, dtype)
    mask = np.zeros(logits.shape, bool)
    mask[0, 1] = True
    x = Tensor(logits, requires_grad=True)
    loss = LOSSES[name](x, mask)
    loss.backward()
    assert np.isfinite(loss.data)
    assert np.isfinite(x.grad).all()
    assert x.grad.dtype == dtype


@pytest.mark.parametrize("loss", [f1_loss, pseudo_f1])
def test_batch_without_crack_pushes_the_others_down_and_has_no_nan(loss, rng) -> None:
    logits = rng.normal(size=(1, 5, 5, 1))
    mask = np.zeros(logits.shape, bool)
    x = Tensor(logits, requires_grad=True)
    value = loss(x, mask)
    value.backward()
    assert value.data == np.inf
    sigma = 1 / (1 + np.exp(-logits))
    expected = sigma / sigma.sum() * (1 if loss is pseudo_f1 else 1 - sigma)
    np.testing.assert_allclose(x.grad, expected, rtol=1e-12)


def test_float32_sums_lose_nothing_on_a_large_batch(rng) -> None:
    logits = rng.normal(-6, 2, (32, 255, 255, 1)).astype(np.float32)
    mask = rng.random(logits.shape) < 1 / 450
    single = f1_loss(Tensor(logits), mask).data
    double = f1_loss(Tensor(logits.astype(np.float64)), mask).data
    np.testing.assert_allclose(single, double, rtol=3e-7)


def test_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 4, 4, 1\).*\(4, 4\)"):
        pseudo_f1(Tensor(np.zeros((1, 4, 4, 1))), np.zeros((4, 4), bool))
